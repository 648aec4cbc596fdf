"""The admin pages: clients, parked events, scheduled events, the journal and the log. They are read-only.

What their actions do asks for a permission of its own and for a confirmation, and goes through `bridge.Operator`.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest
from django.utils.html import format_html

from bridge.contrib.django.acts import (
    cancel_selected,
    discard_selected,
    drain_selected,
    pause_selected,
    redrive_selected,
    resume_selected,
)
from bridge.contrib.django.database import alias
from bridge.contrib.django.models import Client, JournalEntry, LoggedEvent, ParkedEvent, ScheduledEvent
from bridge.contrib.django.pages import ClientFilter, ReadOnly, WithPayload, beginning_of
from bridge.contrib.django.paginator import MOST_ROWS
from bridge.contrib.django.parked_id import LARGEST_OFFSET, parts_of
from bridge.contrib.django.texts import in_a_line, shortened


class ClientAdmin(ReadOnly):
    """Where each client stands."""

    list_display = ("id", "task", "queue", "topics_in_short", "state", "offset", "parked", "trouble_in_short")
    list_filter = ("state",)
    search_fields = ("id", "task")
    ordering = asked_in_order_of = ("id",)
    actions = (pause_selected, drain_selected, resume_selected)

    def client_of(self, id: str) -> str:
        """Return the client itself."""
        return id

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may pause and drain."""
        return bool(request.user.has_perm("event_bridge.pause_client"))

    def has_resume_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may resume."""
        return bool(request.user.has_perm("event_bridge.resume_client"))

    def get_queryset(self, request: HttpRequest) -> Any:
        """Count what is parked for each client in the same query, as far as a page of them goes."""
        theirs = ParkedEvent.objects.filter(client_id=OuterRef("id")).order_by().values("client_id")
        return super().get_queryset(request).annotate(parked=Subquery(theirs.annotate(n=Count("*")).values("n")))

    @admin.display(description="topics")
    def topics_in_short(self, client: Any) -> str:
        """Say what it reads."""
        return shortened(client.topics)

    @admin.display(description="parked")
    def parked(self, client: Any) -> int:
        """Say how many events are parked."""
        return client.parked or 0

    @admin.display(description="trouble")
    def trouble_in_short(self, client: Any) -> str:
        """Say what is wrong."""
        return shortened(client.trouble)


class ParkedEventAdmin(ReadOnly):
    """Events that were set aside, and what becomes of them."""

    list_display = ("id", "topic", "key", "error_type", "error_in_short", "attempts", "redrive", "parked_at")
    list_filter = (ClientFilter, "redrive", "held")
    search_fields = ("key",)
    search_help_text = "An offset, a key, or the type of an error; all of it."
    ordering = ("-parked_at",)
    asked_in_order_of = ("client_id", "offset")
    actions = (redrive_selected, discard_selected)
    exclude = ("traceback",)
    readonly_fields = ("traceback_text", "payload_text", "headers_text")

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may redrive."""
        return bool(request.user.has_perm("event_bridge.redrive_parkedevent"))

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may discard."""
        return bool(request.user.has_perm("event_bridge.discard_parkedevent"))

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave tracebacks for the page of one event."""
        return super().get_queryset(request).defer("traceback")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find an offset, a key or an error's type, whole."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = queryset.filter(key=term) | queryset.filter(error_type=term)
        return (found | queryset.filter(offset=int(term)) if _is_offset(term) else found), False

    def client_of(self, id: str) -> str:
        """Return its client."""
        return (parts_of(id) or ("", 0))[0]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave payload and headers to those who may look at the log."""
        may_look = request.user.has_perm("event_bridge.view_loggedevent")
        return self.readonly_fields if may_look else ("traceback_text",)

    @admin.display(description="traceback")
    def traceback_text(self, event: Any) -> Any:
        """Show the traceback with its indentation."""
        return format_html('<pre style="margin: 0; white-space: pre-wrap">{}</pre>', event.traceback or "-")

    @admin.display(description="payload")
    def payload_text(self, event: Any) -> str:
        """Show the event's payload, as far as a page goes."""
        return beginning_of(LoggedEvent, event.offset, "payload")

    @admin.display(description="headers")
    def headers_text(self, event: Any) -> str:
        """Show the event's headers."""
        return beginning_of(LoggedEvent, event.offset, "headers")

    @admin.display(description="error")
    def error_in_short(self, event: Any) -> str:
        """Say what the last attempt said."""
        return shortened(event.error)


class ScheduledEventAdmin(WithPayload):
    """Events that come into the log when they are due, the next one first."""

    list_display = ("number", "due_at", "topic", "key", "event_id", "payload_in_short", "held_until")
    search_fields = ("key",)
    search_help_text = "A number, a key, or an id; all of it."
    ordering = ("due_at", "number")
    asked_in_order_of = ("number",)
    actions = (cancel_selected,)
    fields = (*list_display[:5], "payload_text", "headers_text", "created_at", "held_until")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may cancel."""
        return bool(request.user.has_perm("event_bridge.cancel_scheduledevent"))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find a number, a key or an id, whole: each by its index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = queryset.filter(key=term) | queryset.filter(event_id=term)
        return (found | queryset.filter(number=int(term)) if _is_offset(term) else found), False


class JournalEntryAdmin(ReadOnly):
    """Who did what to which client, the newest first."""

    list_display = ("at", "client_id", "action", "by", "in_short")
    list_filter = (ClientFilter,)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Cut details short: an entry may name a thousand offsets."""
        return super().get_queryset(request).defer("details").annotate(details_in_short=in_a_line("details"))

    @admin.display(description="details")
    def in_short(self, entry: Any) -> str:
        """Say what goes with the action."""
        return str(entry.details_in_short)


class LoggedEventAdmin(WithPayload):
    """The events, the newest first. An older one than the first 10,000 is found by its offset, key or topic."""

    list_display = ("offset", "topic", "key", "payload_in_short", "created_at")
    search_fields = ("key",)
    search_help_text = "An offset, a key, or a topic; all of it."
    ordering = ("-offset",)
    fields = ("offset", "topic", "key", "payload_text", "headers_text", "created_at")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find an offset, a key or a topic, whole: each by its index, the newest ones."""
        term = search_term.strip()
        if not term:
            return queryset, False
        newest = LoggedEvent.objects.order_by("-offset").values_list("offset", flat=True)
        found = [*newest.filter(key=term)[:MOST_ROWS], *newest.filter(topic=term)[:MOST_ROWS]]
        return queryset.filter(offset__in=[*found, int(term)] if _is_offset(term) else found), False


def _is_offset(term: str) -> bool:
    return term.isascii() and term.isdecimal() and int(term) <= LARGEST_OFFSET


if alias() is not None:  # else Django has no way to the log
    admin.site.register(Client, ClientAdmin)
    admin.site.register(ParkedEvent, ParkedEventAdmin)
    admin.site.register(ScheduledEvent, ScheduledEventAdmin)
    admin.site.register(JournalEntry, JournalEntryAdmin)
    admin.site.register(LoggedEvent, LoggedEventAdmin)

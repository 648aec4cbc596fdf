"""The admin pages: clients, parked events, the journal and the log. They are read-only, but for two actions.

Redrive and discard ask for a permission of their own and for a confirmation, and go through `bridge.Operator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest

from bridge.contrib.django.acting import discard_selected, redrive_selected
from bridge.contrib.django.database import alias
from bridge.contrib.django.models import Client, JournalEntry, LoggedEvent, ParkedEvent
from bridge.contrib.django.paginator import MOST_ROWS, BoundedPaginator
from bridge.contrib.django.parked_id import LARGEST_OFFSET
from bridge.contrib.django.texts import PAGE_CHARACTERS, beginning, in_a_line, shortened


class ReadOnly(admin.ModelAdmin):
    """Pages on which nothing can be added, changed or deleted."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 100
    list_max_show_all = 0

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False


class ClientFilter(admin.SimpleListFilter):
    """The rows of one client; its clients come from their own table, for the rows may be many."""

    title = "client"
    parameter_name = "client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        """Name the clients."""
        for id in Client.objects.order_by("id").values_list("id", flat=True)[:1000]:
            yield id, id

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Take the chosen one."""
        return queryset if self.value() is None else queryset.filter(client_id=self.value())


class ClientAdmin(ReadOnly):
    """Where each client stands."""

    list_display = ("id", "task", "queue", "state", "offset", "dispatched", "parked", "trouble_in_short")
    search_fields = ("id", "task")
    ordering = ("id",)
    exclude = ("filter",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Count what is parked for each client in the same query, as far as a page of them goes."""
        theirs = ParkedEvent.objects.filter(client_id=OuterRef("id")).order_by().values("client_id")
        return super().get_queryset(request).annotate(parked=Subquery(theirs.annotate(n=Count("*")).values("n")))

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
    actions = (redrive_selected, discard_selected)

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

    @admin.display(description="error")
    def error_in_short(self, event: Any) -> str:
        """Say what the last attempt said."""
        return shortened(event.error)


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


class LoggedEventAdmin(ReadOnly):
    """The events, the newest first. An older one than the first 10,000 is found by its offset, key or topic."""

    list_display = ("offset", "topic", "key", "payload_in_short", "created_at")
    search_fields = ("key",)
    search_help_text = "An offset, a key, or a topic; all of it."
    ordering = ("-offset",)
    fields = ("offset", "topic", "key", "payload_text", "headers_text", "created_at")
    readonly_fields = ("payload_text", "headers_text")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave payloads and headers where they are, but for the beginning of each payload."""
        return super().get_queryset(request).defer("payload", "headers").annotate(short_payload=in_a_line("payload"))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find an offset, a key or a topic, whole: each by its index, the newest ones."""
        term = search_term.strip()
        if not term:
            return queryset, False
        newest = LoggedEvent.objects.order_by("-offset").values_list("offset", flat=True)
        found = [*newest.filter(key=term)[:MOST_ROWS], *newest.filter(topic=term)[:MOST_ROWS]]
        return queryset.filter(offset__in=[*found, int(term)] if _is_offset(term) else found), False

    @admin.display(description="payload")
    def payload_in_short(self, event: Any) -> str:
        """Say how the payload begins."""
        return str(event.short_payload)

    @admin.display(description="payload")
    def payload_text(self, event: Any) -> str:
        """Show the payload, as far as a page goes."""
        return _beginning_of(event, "payload")

    @admin.display(description="headers")
    def headers_text(self, event: Any) -> str:
        """Show the headers."""
        return _beginning_of(event, "headers")


def _beginning_of(event: Any, column: str) -> str:
    """Return the beginning of an event's column, as Postgres writes it."""
    rows = LoggedEvent.objects.filter(pk=event.pk).annotate(text=beginning(column, PAGE_CHARACTERS))
    text = str(rows.values_list("text", flat=True)[0])
    return text if len(text) < PAGE_CHARACTERS else f"{text}…"


def _is_offset(term: str) -> bool:
    return term.isascii() and term.isdecimal() and int(term) <= LARGEST_OFFSET


if alias() is not None:  # else Django has no way to the log
    admin.site.register(Client, ClientAdmin)
    admin.site.register(ParkedEvent, ParkedEventAdmin)
    admin.site.register(JournalEntry, JournalEntryAdmin)
    admin.site.register(LoggedEvent, LoggedEventAdmin)

"""What all admin pages of the bridge have in common: they are read-only, bounded, and say why they can't be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from bridge.contrib.django.models import Client
from bridge.contrib.django.paginator import BoundedPaginator
from bridge.contrib.django.texts import PAGE_CHARACTERS, beginning, in_a_line
from bridge.contrib.django.unavailable import shown_or_why_not


class ReadOnly(admin.ModelAdmin):
    """Pages on which nothing can be added, changed or deleted."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 100
    list_max_show_all = 0
    show_facets = getattr(getattr(admin, "ShowFacets", None), "NEVER", None)  # they count whole tables, in Django 5

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list, or why there is none."""
        view = super().changelist_view
        return shown_or_why_not(self, lambda: view(request, extra_context), request)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show one row, or why it can't be shown."""
        view = super().changeform_view
        return shown_or_why_not(self, lambda: view(request, object_id, form_url, extra_context), request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Lead to the journal: it has what Django's own history has not."""
        client = self.client_of(unquote(object_id))
        return HttpResponseRedirect(
            reverse(f"{self.admin_site.name}:event_bridge_journalentry_changelist")
            + (f"?{urlencode({'client': client})}" if client else "")
        )

    def client_of(self, id: str) -> str:
        """Return the client whose history a row has; empty for none."""
        return ""


class WithPayload(ReadOnly):
    """Pages of events: payload and headers may be large, and are not fetched for a list."""

    readonly_fields = ("payload_text", "headers_text")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave payloads and headers where they are, but for the beginning of each payload."""
        return super().get_queryset(request).defer("payload", "headers").annotate(short_payload=in_a_line("payload"))

    @admin.display(description="payload")
    def payload_in_short(self, event: Any) -> str:
        """Say how the payload begins."""
        return str(event.short_payload)

    @admin.display(description="payload")
    def payload_text(self, event: Any) -> str:
        """Show the payload, as far as a page goes."""
        return beginning_of(type(event), event.pk, "payload")

    @admin.display(description="headers")
    def headers_text(self, event: Any) -> str:
        """Show the headers."""
        return beginning_of(type(event), event.pk, "headers")


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


def beginning_of(model: type[Model], id: object, column: str) -> str:
    """Return the beginning of an event's column, as Postgres writes it; empty where the event is gone."""
    rows = model._default_manager.filter(pk=id).annotate(text=beginning(column, PAGE_CHARACTERS))
    text = str(next(iter(rows.values_list("text", flat=True)), ""))
    return text if len(text) < PAGE_CHARACTERS else f"{text}…"

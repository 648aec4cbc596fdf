"""What the admin does to parked events: redrive and discard, after a confirmation, as `bridge.Operator` does it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse

from bridge.contrib.django.project import celery_app
from bridge.errors import BridgeError
from bridge.operate.operator import Operator
from bridge.wording import counted

MOST_AT_ONCE = 1000
BY_CHARACTERS = 200

Verb = Callable[[Operator, str, Sequence[int]], list[int]]


def _redrive(operator: Operator, client: str, offsets: Sequence[int]) -> list[int]:
    return operator.redrive(client, offsets=offsets)


def _discard(operator: Operator, client: str, offsets: Sequence[int]) -> list[int]:
    return operator.discard(client, offsets=offsets)


@admin.action(description="Redrive selected parked events", permissions=["redrive"])
def redrive_selected(model_admin: Any, request: HttpRequest, queryset: Any) -> TemplateResponse | None:
    """Hand the selected events to their clients again."""
    question = "They are handed to their clients again, each when its client has room and its key is free."
    return _confirmed(model_admin, request, queryset, verb="redrive", done="redriven", question=question, act=_redrive)


@admin.action(description="Discard selected parked events", permissions=["discard"])
def discard_selected(model_admin: Any, request: HttpRequest, queryset: Any) -> TemplateResponse | None:
    """Give the selected events up for good."""
    question = "Their clients never get them. The events themselves stay in the log. There is no way back."
    return _confirmed(model_admin, request, queryset, verb="discard", done="discarded", question=question, act=_discard)


def _confirmed(
    model_admin: Any, request: HttpRequest, queryset: Any, *, verb: str, done: str, question: str, act: Verb
) -> TemplateResponse | None:
    """Ask first; act when the answer comes."""
    rows = list(queryset.order_by("client_id", "offset")[: MOST_AT_ONCE + 1])
    if len(rows) > MOST_AT_ONCE:
        advice = f"`manage.py bridge {verb} CLIENT --all` takes any number"
        messages.error(request, f"at most {MOST_AT_ONCE:,} events at once: {advice}")
        return None
    if request.POST.get("confirmed") != "yes":
        context: Mapping[str, Any] = {
            **model_admin.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {counted(len(rows), 'parked event')}?",
            "question": question,
            "verb": verb,
            "rows": rows,
            "opts": model_admin.model._meta,
            "action": f"{verb}_selected",
            "checkbox": ACTION_CHECKBOX_NAME,
            "media": model_admin.media,
        }
        return TemplateResponse(request, "admin/event_bridge/confirm.html", context)
    _act(request, rows, verb=verb, done=done, act=act)
    return None


def _act(request: HttpRequest, rows: Sequence[Any], *, verb: str, done: str, act: Verb) -> None:
    """Do it for each client in a transaction of its own, and say what was done."""
    from bridge.command.texts import plain

    offsets: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        offsets[row.client_id].append(row.offset)
    by = f"{plain(request.user.get_username())} (admin)"[-BY_CHARACTERS:]
    for client, theirs in offsets.items():
        try:
            with Operator(celery_app(), by=by) as operator:
                number = len(act(operator, client, theirs))
        except BridgeError as error:
            messages.error(request, f"client {client}: {error}")
            continue
        left = len(theirs) - number
        aside = f"; {left:,} not, because they were not parked any more or go out already" if left else ""
        messages.success(request, f"{counted(number, 'event')} of client {client} {done}{aside}")

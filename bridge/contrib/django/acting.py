"""What the admin pages do: after a question, as `bridge.Operator` does it, with the user's name in the journal.

A row that has changed between the question and the answer is left alone: the answer was about what the user saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse

from bridge.contrib.django.project import celery_app
from bridge.errors import BridgeError
from bridge.operate.operator import Operator
from bridge.wording import cleaned, counted, one_line

MOST_AT_ONCE = 1000
OTHER_FIELDS = 10  # of the form, beside one for each row: Django refuses a form with more fields than it allows
BY_CHARACTERS = 200
REASON_CHARACTERS = 300

CHANGED = "left alone, because it has changed since you were asked"  # Django capitalizes how a message begins: no name

Step = tuple[str, Callable[[Operator], str]]  # what it is about, and what does it and says what was done


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that may be done to the rows that a user has selected.

    Attributes:
        verb: What is done, in one word.
        one: What a row is called.
        question: What will happen.
        line: Says a row in a line of the question.
        seen: Returns what an answer is about: a row of which this has changed meanwhile is left alone.
        steps: Takes rows and the reason, and returns what is to be done, each in a transaction of its own.
        asks_reason: Whether the question asks for a reason, too.
        command: The command that does it, where it is not called as the verb is.
    """

    verb: str
    one: str
    question: str
    line: Callable[[Any], str]
    seen: Callable[[Any], str]
    steps: Callable[[Sequence[Any], str], Iterator[Step]]
    asks_reason: bool = False
    command: str = ""

    @property
    def action(self) -> str:
        """Name of the admin's action."""
        return f"{self.verb}_selected"


def most_at_once() -> int:
    """Return how many rows can be acted on at once: each is a field of the form that asks."""
    fields: int | None = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    return MOST_AT_ONCE if fields is None else max(1, min(MOST_AT_ONCE, fields - OTHER_FIELDS))


def ask_or_act(act: Act, model_admin: Any, request: HttpRequest, queryset: Any) -> TemplateResponse | None:
    """Ask first; act when the answer comes."""
    most = most_at_once()
    rows = list(queryset.order_by(*model_admin.asked_in_order_of)[: most + 1])
    if len(rows) > most:
        command = act.command or act.verb
        messages.error(request, f"at most {most:,} at once: `manage.py bridge {command} --help` says how to take more")
        return None
    answered = request.POST.get("confirmed") == "yes"
    gone = len(set(request.POST.getlist(ACTION_CHECKBOX_NAME))) - len(rows)
    if gone > 0 and (answered or not rows):
        messages.warning(request, f"{counted(gone, f'{act.one} is', f'{act.one}s are')} not there any more")
    if answered:
        _act(act, request, _unchanged(act, request, rows))
    elif rows:
        return TemplateResponse(request, "admin/event_bridge/confirm.html", _question(act, model_admin, request, rows))
    return None


def _question(act: Act, model_admin: Any, request: HttpRequest, rows: Sequence[Any]) -> Mapping[str, Any]:
    """Return what the page that asks is made of."""
    return {
        **model_admin.admin_site.each_context(request),
        "title": f"{act.verb.capitalize()} {counted(len(rows), act.one)}?",
        "act": act,
        "rows": [(row.pk, act.line(row)) for row in rows],
        "seen": json.dumps({str(row.pk): act.seen(row) for row in rows}),
        "opts": model_admin.model._meta,
        "checkbox": ACTION_CHECKBOX_NAME,
        "back": request.get_full_path(),
        "reason_characters": REASON_CHARACTERS,
        "media": model_admin.media,
    }


def _unchanged(act: Act, request: HttpRequest, rows: Sequence[Any]) -> list[Any]:
    """Return the rows that are as they were when the user was asked, and name the others."""
    try:
        seen = json.loads(request.POST.get("seen", "{}"))
    except ValueError:
        seen = {}
    left = []
    for row in rows:
        if isinstance(seen, dict) and seen.get(str(row.pk)) == act.seen(row):
            left.append(row)
        else:
            messages.warning(request, f"{CHANGED}: {act.line(row)}")
    return left


def _act(act: Act, request: HttpRequest, rows: Sequence[Any]) -> None:
    """Do each step in a transaction of its own, and say what was done."""
    name = cleaned(str(request.user.get_username()), most=10 * BY_CHARACTERS)
    by = f"{name} (admin)"[-BY_CHARACTERS:]
    reason = one_line(request.POST.get("reason", ""), most=REASON_CHARACTERS)
    for about, step in act.steps(rows, reason):
        try:
            with Operator(celery_app(), by=by) as operator:
                messages.success(request, step(operator))
        except BridgeError as error:
            messages.error(request, f"not done for {about}: {one_line(error, most=1000)}")

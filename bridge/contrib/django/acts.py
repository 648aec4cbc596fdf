"""The actions of the admin pages: redrive and discard, pause, drain and resume, and cancel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from bridge.contrib.django.acting import Act, Step, ask_or_act
from bridge.contrib.django.texts import shortened
from bridge.operate.operator import Operator
from bridge.wording import counted

Action = Callable[[Any, HttpRequest, Any], TemplateResponse | None]  # of the admin: of its pages, request and rows


def _parked_line(row: Any) -> str:
    named = [f"{row.client_id}: event {row.offset}", row.topic, row.key and f"key {row.key}", shortened(row.error_type)]
    return ", ".join(part for part in named if part)


def _parked_steps(verb: str, done: str, rows: Sequence[Any], reason: str) -> Iterator[Step]:
    """Do it for each client."""
    offsets: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        offsets[row.client_id].append(row.offset)
    for client, theirs in offsets.items():
        yield f"client {client}", partial(_dispose, verb, done, client, theirs)


def _dispose(verb: str, done: str, client: str, offsets: Sequence[int], operator: Operator) -> str:
    number = len(getattr(operator, verb)(client, offsets=offsets))
    left = len(offsets) - number
    aside = f"; {left:,} not, because they were not parked any more or go out already" if left else ""
    return f"{counted(number, 'event')} of client {client} {done}{aside}"


def _parked_seen(row: Any) -> str:
    return f"{row.epoch} {row.attempts} {row.redrive} {row.parked_at.isoformat()}"


REDRIVE = Act(
    verb="redrive",
    one="parked event",
    question="They are handed to their clients again, each when its client has room and its key is free.",
    line=_parked_line,
    seen=_parked_seen,
    steps=partial(_parked_steps, "redrive", "redriven"),
)
DISCARD = Act(
    verb="discard",
    one="parked event",
    question="Their clients never get them. The events themselves stay in the log. There is no way back.",
    line=_parked_line,
    seen=_parked_seen,
    steps=partial(_parked_steps, "discard", "discarded"),
)


def _client_line(row: Any) -> str:
    return f"{row.id}: {row.state}" + (f", because {shortened(row.state_reason)}" if row.state_reason else "")


def _client_seen(row: Any) -> str:
    return f"{row.state} {row.state_at.isoformat() if row.state_at else ''}"


def _client_steps(verb: str, rows: Sequence[Any], reason: str) -> Iterator[Step]:
    """Do it for each client."""
    for row in rows:
        yield f"client {row.id}", partial(_move, verb, row.id, reason)


def _move(verb: str, client: str, reason: str, operator: Operator) -> str:
    if verb == "resume":
        was, missed = operator.resume(client)
        already = " already" if was == "active" else f", it was {was}"
        gap = f"; it has missed {missed[0]:,} to {missed[1]:,}, which were pruned meanwhile" if missed else ""
        return f"client {client} is active{already}{gap}"
    state = operator.drain(client, reason=reason) if verb == "drain" else operator.pause(client, reason=reason)
    return f"client {client} is {state}" + (": it is paused when its open events are finished" * (state == "draining"))


PAUSE = Act(
    verb="pause",
    one="client",
    question="They get no more events until they are resumed: those wait in the log. What is open still finishes.",
    line=_client_line,
    seen=_client_seen,
    steps=partial(_client_steps, "pause"),
    asks_reason=True,
)
DRAIN = Act(
    verb="drain",
    command="pause --drain",
    one="client",
    question="Their open events finish, with all their retries, and nothing new goes out. Then they are paused.",
    line=_client_line,
    seen=_client_seen,
    steps=partial(_client_steps, "drain"),
    asks_reason=True,
)
RESUME = Act(
    verb="resume",
    one="client",
    question="They get events again, from where they stand. One that was halted should have been mended before.",
    line=_client_line,
    seen=_client_seen,
    steps=partial(_client_steps, "resume"),
)


def _scheduled_line(row: Any) -> str:
    named = [f"{row.number}: {row.topic}", row.key and f"key {row.key}", f"due {row.due_at:%Y-%m-%d %H:%M:%S %Z}"]
    return ", ".join(part for part in named if part)


def _cancel_steps(rows: Sequence[Any], reason: str) -> Iterator[Step]:
    """Cancel all of them at once."""
    if rows:
        yield "scheduled events", partial(_cancel, [row.number for row in rows])


def _cancel(numbers: Sequence[int], operator: Operator) -> str:
    number = len(operator.cancel_scheduled(numbers))
    left = len(numbers) - number
    aside = f"; {left:,} not, because they were not scheduled any more" if left else ""
    return f"{counted(number, 'scheduled event is', 'scheduled events are')} cancelled{aside}"


CANCEL = Act(
    verb="cancel",
    command="scheduled",
    one="scheduled event",
    question="They never come into the log. There is no way back.",
    line=_scheduled_line,
    seen=lambda row: f"{row.topic} {row.due_at.isoformat()}",
    steps=_cancel_steps,
)


def _selected(act: Act, description: str, *, permission: str | None = None) -> Action:
    """Return the admin's action that does it to the selected rows, under the act's name.

    Args:
        act: What it does.
        description: What the list of actions calls it.
        permission: Who may choose it; by default the act's verb.
    """

    @admin.action(description=description, permissions=[permission or act.verb])
    def action(model_admin: Any, request: HttpRequest, queryset: Any) -> TemplateResponse | None:
        return ask_or_act(act, model_admin, request, queryset)

    action.__name__ = act.action
    done: Action = action
    return done


redrive_selected = _selected(REDRIVE, "Redrive selected parked events")
discard_selected = _selected(DISCARD, "Discard selected parked events")
pause_selected = _selected(PAUSE, "Pause selected clients")
drain_selected = _selected(DRAIN, "Drain selected clients, then pause them", permission="pause")
resume_selected = _selected(RESUME, "Resume selected clients")
cancel_selected = _selected(CANCEL, "Cancel selected scheduled events")

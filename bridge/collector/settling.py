"""Settle what messages report, and tell what became of each message: one message harms no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.app import Bridge
from bridge.collector.reader import TaskMessage, TracedMessage
from bridge.model import Outcome
from bridge.settle import read_callbacks
from bridge.settle.apply import Applied, NotSettled, apply, name_of
from bridge.settle.read_callbacks import one_by_one, outcomes_of
from bridge.settle.with_reasons import settle_with_reasons
from bridge.tracing.outcomes import with_traces

Key = tuple[str, int, int, int, bool]
NOTHING_HELD: Mapping[str, Exception] = {}


class Reported(NamedTuple):
    """A message, and what it reports."""

    message: Any
    outcomes: list[Outcome]


class Held(NamedTuple):
    """A message that stays taken: these of its outcomes can't be settled yet."""

    message: Any
    outcomes: list[Outcome]
    error: Exception


class Refused(NamedTuple):
    """A message to set aside, and why."""

    message: Any
    why: str


@dataclass(slots=True, kw_only=True)
class Left:
    """The messages that are not simply settled."""

    held: list[Held] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def read_reports(messages: Iterable[tuple[Any, TaskMessage]], *, secret: str) -> Iterator[Reported]:
    """Read what messages report, one message after the other: all at once may be a million outcomes."""
    for message, call in messages:
        outcomes = [one for callback in one_by_one([call]) for one in outcomes_of(callback, secret=secret)]
        if isinstance(call, TracedMessage):
            outcomes = with_traces(outcomes, call.trace)
        yield Reported(message, outcomes)


def settle_reported(
    bridge: Bridge, reported: Iterable[Reported], *, held: Mapping[str, Exception] = NOTHING_HELD
) -> Left:
    """Settle what messages report, about 10,000 outcomes at once.

    Args:
        bridge: The store, and the result backend that knows reasons.
        reported: The messages.
        held: Clients whose outcomes are not tried, and why.

    Raises:
        Unavailable, SchemaError: some may be settled; settle the same messages again, which does no harm.
    """
    left = Left()
    for part in _parts(reported):
        outcomes = [outcome for it in part for outcome in it.outcomes]
        applied = settle_with_reasons(bridge, [outcome for outcome in outcomes if outcome.client not in held])
        applied.held += [NotSettled(outcome=it, error=held[it.client]) for it in outcomes if it.client in held]
        if applied.held or applied.refused:
            _tell(part, applied, left)
    return left


def settle_again(bridge: Bridge, waiting: Sequence[Held], *, lock_seconds: float) -> Left:
    """Try again what was held."""
    applied = apply(bridge.store, [one for it in waiting for one in it.outcomes], lock_seconds=lock_seconds)
    left = Left()
    if applied.held or applied.refused:
        _tell([Reported(it.message, it.outcomes) for it in waiting], applied, left)
    return left


def _parts(reported: Iterable[Reported]) -> Iterator[list[Reported]]:
    part: list[Reported] = []
    number = 0
    for it in reported:
        part.append(it)
        number += len(it.outcomes)
        if number >= read_callbacks.OUTCOMES_AT_ONCE:
            yield part
            part, number = [], 0
    if part:
        yield part


def _tell(part: list[Reported], applied: Applied, left: Left) -> None:
    """Find the messages of the outcomes that are not settled; one that has both kinds is held first."""
    held, refused = _by_key(applied.held), _by_key(applied.refused)
    for it in part:
        waiting = [held[key].outcome for outcome in it.outcomes if (key := _key(outcome)) in held]
        wrong = [outcome for outcome in it.outcomes if _key(outcome) in refused]
        if waiting:
            left.held.append(Held(it.message, [*waiting, *wrong], held[_key(waiting[0])].error))
        elif wrong:
            why = f"{name_of(wrong[0])} can't be settled: {refused[_key(wrong[0])].error}"
            left.refused.append(Refused(it.message, why))


def _by_key(outcomes: list[NotSettled]) -> dict[Key, NotSettled]:
    return {_key(it.outcome): it for it in outcomes}


def _key(outcome: Outcome) -> Key:
    return outcome.client, outcome.offset, outcome.epoch, outcome.attempt, outcome.failure is None

"""Settle many outcomes such that one harms no other: what Postgres refuses is halved until what is at fault is alone.

Three things can go wrong. Postgres is away: that is nobody's fault, and the caller tries all of it again. Postgres
refuses an outcome, and would again: it is *refused*, and the caller sets it aside. Another transaction holds the row
that an outcome needs: it is *held*, and the caller tries it again later. Whatever happens, the others are settled.

An error's code does not always tell the first from the second: a trigger of somebody's own may ask a server that is
away, or call what was dropped. Such a batch is halved too, and an outcome that fails alone, again and again, while the
same statements about nothing succeed is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from bridge.errors import SchemaError, StoreUnavailable, Unavailable
from bridge.model import Failure, Outcome, task_id
from bridge.settle.settle import Settled, settle, settle_free
from bridge.store import Store
from bridge.store.driver_errors import may_be_about_a_row, may_pass
from bridge.store.outcomes import is_held
from bridge.tracing.spans import settling
from bridge.wording import said

logger = logging.getLogger("bridge")

LOCK_SECONDS = 0.5  # a pass that has the client's row is over by then, unless it is a long one
BRIEF_SECONDS = 0.02
NO_EVENT = -2  # no event has this offset
TRIES_ALONE = 2  # more of an outcome that failed alone with an error that may be nobody's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSettled:
    """An outcome that is not settled, and the error that says why."""

    outcome: Outcome
    error: Exception


@dataclass(slots=True, kw_only=True)
class Applied:
    """What became of outcomes.

    Attributes:
        settled: How many of them did what.
        held: Those that are to be tried again later.
        refused: Those that Postgres will never take.
    """

    settled: Settled = field(default_factory=Settled)
    held: list[NotSettled] = field(default_factory=list)
    refused: list[NotSettled] = field(default_factory=list)

    def add(self, other: Applied) -> None:
        """Add what became of other outcomes."""
        self.settled += other.settled
        self.held += other.held
        self.refused += other.refused


def apply(store: Store, reported: Sequence[Outcome], *, lock_seconds: float = LOCK_SECONDS) -> Applied:
    """Settle outcomes; those that can't be settled are in the answer.

    Args:
        store: The event log and its clients.
        reported: In any order.
        lock_seconds: How long to wait for a client that another transaction holds; 0 for not at all.

    Raises:
        Unavailable, SchemaError: some may be settled; settle the same outcomes again, which does no harm.
    """
    with settling(reported) as batch:
        applied = _applied(store, reported, lock_seconds)
        batch.attributes = {f"bridge.{name}": number for name, number in applied.settled._asdict().items()}
        batch.left_out = {(it.outcome.client, it.outcome.offset) for it in (*applied.held, *applied.refused)}
    return applied


def _applied(store: Store, reported: Sequence[Outcome], lock_seconds: float) -> Applied:
    applied = Applied()
    todo = [list(reported)] if reported else []
    while todo:
        batch = todo.pop()
        try:
            if lock_seconds:
                applied.settled += settle(store, batch, lock_seconds=lock_seconds)
            else:
                _settle_free(store, batch, applied)
        except Exception as error:  # the driver may refuse a value with an error of any type
            if is_held(error):
                if lock_seconds:  # waited once: from here on take what can be had
                    lock_seconds = 0
                    todo.append(batch)
                elif len(batch) > 1:
                    todo += _halves(batch)
                else:
                    applied.held.append(NotSettled(outcome=batch[0], error=error))
                continue
            _need_here(store, error)
            if len(batch) > 1:
                todo += _halves(batch)
            elif not _settled_alone(store, batch[0], error, applied):
                todo = _judge(store, batch[0], error, applied, todo)
    return applied


def _need_here(store: Store, error: Exception) -> None:
    """Raise an error that says that Postgres is away, or that the schema is another, whatever is settled.

    Where the error does not tell that, the same statements about no client do: whatever refuses these too, or lets them
    wait until their time is over, has nothing to do with any outcome.
    """
    if not isinstance(error, Unavailable | SchemaError):
        return
    if not may_be_about_a_row(error):
        raise error
    try:
        settle(store, [Outcome(client="", offset=NO_EVENT, epoch=0, attempt=0)], lock_seconds=LOCK_SECONDS)
    except Exception as why:
        raise error from why


def _settle_free(store: Store, batch: list[Outcome], applied: Applied) -> None:
    settled, left = settle_free(store, batch, lock_seconds=BRIEF_SECONDS)
    applied.settled += settled
    for outcome in left:
        error = StoreUnavailable(f"client {outcome.client!r} is held by another transaction")
        applied.held.append(NotSettled(outcome=outcome, error=error))


def _halves(batch: list[Outcome]) -> list[list[Outcome]]:
    """Cut a batch; of many clients, between two of them. The first half comes last: it is taken next."""
    ordered = sorted(batch, key=attrgetter("client"))
    middle = len(ordered) // 2
    return [ordered[middle:], ordered[:middle]]


def _settled_alone(store: Store, outcome: Outcome, error: Exception, applied: Applied) -> bool:
    """Try an outcome again that failed alone, where that may help, and a failure without its reason."""
    if may_pass(error):  # a deadlock, say, a cancelled statement, or a table that was just made anew
        for _ in range(TRIES_ALONE):
            settled = _tried(store, outcome)
            if isinstance(settled, Settled):
                applied.settled += settled
                return True
    if outcome.failure is None or outcome.failure == Failure():
        return False
    settled = _tried(store, replace(outcome, failure=Failure()))  # which is what most likely is refused
    if not isinstance(settled, Settled):
        return False
    applied.settled += settled
    logger.warning("%s is settled without the reason of its failure: %s", name_of(outcome), said(error))
    return True


def _tried(store: Store, outcome: Outcome) -> Settled | Exception:
    """Settle one outcome; return the error if it is refused.

    Raises:
        Unavailable, SchemaError: Postgres is away, or another transaction holds what it needs.
    """
    try:
        return settle(store, [outcome], lock_seconds=LOCK_SECONDS)
    except Exception as error:
        _need_here(store, error)
        return error


def _judge(
    store: Store, outcome: Outcome, error: Exception, applied: Applied, todo: list[list[Outcome]]
) -> list[list[Outcome]]:
    """Tell whether the outcome is at fault or its client; in the second case all of that client are held.

    The same statements about an event that nobody has tell it: they change nothing, and whatever refuses these too has
    nothing to do with this outcome.
    """
    nothing = Outcome(client=outcome.client, offset=NO_EVENT, epoch=0, attempt=0)
    why = _tried(store, nothing)
    if not isinstance(why, Exception):
        applied.refused.append(NotSettled(outcome=outcome, error=error))
        return todo
    theirs = [one for batch in ([outcome], *todo) for one in batch if one.client == outcome.client]
    applied.held += [NotSettled(outcome=one, error=why) for one in theirs]
    return [rest for batch in todo if (rest := [one for one in batch if one.client != outcome.client])]


def name_of(outcome: Outcome) -> str:
    """Name an outcome for the log."""
    return f"the outcome of task {task_id(outcome.client, outcome.offset, outcome.epoch, outcome.attempt)}"

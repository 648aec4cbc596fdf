"""The SQL of settling: lock the clients, finish what succeeded, retry or park what failed, move the cursors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from bridge.model import Client, Failure, Outcome
from bridge.settings.client import OnExhausted, Ordering
from bridge.sql import statement

# Deliveries of one UPDATE or DELETE: where Postgres thinks that there are none, it compares each with each.
CHUNK = 200
# Outcomes that are farther apart than this go into statements of their own, because each reads over all between its
# first and its last; but not into many, because those of a client that wants few events are all far apart.
WIDE_GAP_OFFSETS, MOST_CUTS = 10_000, 7


class RetryPolicy(NamedTuple):
    """What a client wants done with a failure; as `lock_clients` returns it."""

    max_attempts: int
    backoff_seconds: float
    backoff_max_seconds: float
    on_exhausted: OnExhausted
    ordering: Ordering


class Failing(NamedTuple):
    """A delivery that a failure is about; `tries` are its attempts since it was last redriven."""

    client: str
    offset: int
    attempt: int
    tries: int


class Retry(NamedTuple):
    """A delivery that waits for its next attempt; `fresh` counts its attempts from there on."""

    client: str
    offset: int
    seconds: float
    failure: Failure
    fresh: bool = False


class Part(NamedTuple):
    """A delivery of a batch that failed, and the part that it goes out with next: the part's first offset."""

    client: str
    offset: int
    part: int


class Exhausted(NamedTuple):
    """A delivery without attempts left."""

    client: str
    offset: int
    reason: str
    failure: Failure
    on_exhausted: OnExhausted


Reported = Outcome | Retry | Part | Exhausted
ReportedT = TypeVar("ReportedT", bound=Reported)


def lock_clients(connection: Connection, clients: Collection[str]) -> dict[str, RetryPolicy]:
    """Lock these clients, waiting for passes that hold them; those that don't exist are missing."""
    rows = connection.execute(statement("outcomes/lock_clients"), {"clients": sorted(clients)})
    return {
        row.id: RetryPolicy(
            row.max_attempts, row.backoff_seconds, row.backoff_max_seconds, row.on_exhausted, row.ordering
        )
        for row in rows
    }


def succeed(connection: Connection, outcomes: Sequence[Outcome]) -> Counter[str]:
    """Finish what succeeded; how many events each client finished."""
    finished = Counter[str]()
    for some in _chunks(outcomes, most=max(1, len(outcomes))):
        rows = connection.execute(statement("outcomes/succeed"), _attempts(some) | _range(some))
        finished.update({row.client_id: row.finished for row in rows})
    return finished


def expired(connection: Connection, client: Client) -> list[Failing]:
    """Deliveries whose last allowed attempt was never answered."""
    rows = connection.execute(statement("pass/expired"), {"client": client.id, "max_attempts": client.max_attempts})
    return [Failing(*row) for row in rows]


def done(connection: Connection, client: Client) -> list[Outcome]:
    """Deliveries whose handler's transaction committed, but whose callback never came, as successes."""
    rows = connection.execute(statement("pass/done"), {"client": client.id})
    return [Outcome(client=row.client_id, offset=row.offset, epoch=row.epoch, attempt=row.attempt) for row in rows]


def failing(connection: Connection, outcomes: Sequence[Outcome], *, state: str = "sent") -> list[Failing]:
    """The deliveries in this state that these failures are about."""
    binds = {**_attempts(outcomes), "state": state}
    return [Failing(*row) for row in connection.execute(statement("outcomes/failing"), binds)]


def effected(connection: Connection, failures: Sequence[Outcome]) -> list[Outcome]:
    """Those of these failures whose event is done all the same: its handler's transaction committed before."""
    done = {(delivery.client, delivery.offset) for delivery in failing(connection, failures, state="done")}
    return [failure for failure in failures if (failure.client, failure.offset) in done]


def retry_later(connection: Connection, retries: Sequence[Retry]) -> None:
    """Let failed deliveries wait for their next attempt."""
    for some in _chunks(retries):
        binds = {
            **_places(some),
            "seconds": [r.seconds for r in some],
            "fresh": [r.fresh for r in some],
            **_failures([r.failure for r in some]),
        }
        connection.execute(statement("outcomes/retry_later"), binds)


def split(connection: Connection, parts: Sequence[Part]) -> None:
    """Let the parts of a batch that failed go out by themselves, at once; their attempts are counted from there on."""
    for some in _chunks(parts):
        connection.execute(statement("outcomes/split"), {**_places(some), "parts": [part.part for part in some]})


def give_up(connection: Connection, exhausted: Sequence[Exhausted]) -> int:
    """Do what each client wants done with its event; how many were parked.

    Under `park` and `hold-key` the event becomes a dead letter, under `hold-key` its key's successors wait for it.
    Under `halt` nothing is skipped: the client stops, and the event goes out afresh when somebody resumes it.
    """
    parked = [e for e in exhausted if e.on_exhausted != "halt"]
    for some in _chunks(parked):
        binds = {
            **_places(some),
            "reasons": [e.reason for e in some],
            "held": [e.on_exhausted == "hold-key" for e in some],
            **_failures([e.failure for e in some]),
        }
        connection.execute(statement("outcomes/park"), binds)
    halting = [e for e in exhausted if e.on_exhausted == "halt"]
    if halting:
        retry_later(connection, [Retry(e.client, e.offset, 0, e.failure, fresh=True) for e in halting])
    for e in halting:
        reason = f"event {e.offset} {e.reason}"
        connection.execute(
            statement("operate/set_state"), {"client": e.client, "state": "halted", "reason": reason, "by": "bridge"}
        )
    return len(parked)


def set_state(connection: Connection, client: str, *, state: str, reason: str, by: str) -> bool:
    """Pause, resume, drain or halt a client; whether there is one of this id that the bridge drives."""
    binds = {"client": client, "state": state, "reason": reason, "by": by}
    return connection.execute(statement("operate/set_state"), binds).one_or_none() is not None


def move_cursors(connection: Connection, succeeded: Mapping[str, int], *, failed: Collection[str] = ()) -> None:
    """Move the cursors of these clients up to what is done, and let the pump look at them where it must."""
    binds = {
        "clients": list(succeeded),
        "succeeded": list(succeeded.values()),
        "failed": [client in failed for client in succeeded],
    }
    connection.execute(statement("outcomes/move_cursors"), binds)


def _attempts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "clients": [o.client for o in outcomes],
        "offsets": [o.offset for o in outcomes],
        "epochs": [o.epoch for o in outcomes],
        "attempts": [o.attempt for o in outcomes],
    }


def _range(deliveries: Sequence[Reported]) -> dict[str, Any]:
    """Where a statement has to look for these deliveries, which are in the order of their offsets."""
    among = list(dict.fromkeys([delivery.client for delivery in deliveries]))
    return {"among": among, "first": deliveries[0].offset, "last": deliveries[-1].offset}


def _places(deliveries: Sequence[Reported]) -> dict[str, Any]:
    return {
        "clients": [delivery.client for delivery in deliveries],
        "offsets": [delivery.offset for delivery in deliveries],
        **_range(deliveries),
    }


def _chunks(deliveries: Sequence[ReportedT], *, most: int = CHUNK) -> Iterator[Sequence[ReportedT]]:
    """These deliveries in the order of their offsets, cut in the widest gaps, and into no more than `most`."""
    ordered = sorted(deliveries, key=attrgetter("offset"))
    gaps = ((b.offset - a.offset, nth) for nth, (a, b) in enumerate(pairwise(ordered), start=1))
    ends = [*sorted(nth for gap, nth in nlargest(MOST_CUTS, gaps) if gap > WIDE_GAP_OFFSETS), len(ordered)]
    for first, end in pairwise([0, *ends]):
        for nth in range(first, end, most):
            yield ordered[nth : min(end, nth + most)]


def _failures(failures: Sequence[Failure]) -> dict[str, list[str | None]]:
    return {
        "error_types": [f.type for f in failures],
        "errors": [f.message for f in failures],
        "tracebacks": [f.traceback for f in failures],
    }

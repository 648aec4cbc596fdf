"""The SQL of settling: lock the clients, finish what succeeded, retry or park what failed, move the cursors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.happened import Happening, Kind, after_commit
from bridge.model import Client, Failure, Outcome, task_id
from bridge.settings.client import OnExhausted
from bridge.sql import statement
from bridge.store.arrays import numbers, texts
from bridge.store.chunks import Placed, chunks, range_of
from bridge.store.failures import kept_json
from bridge.store.repeated import run
from bridge.store.tally import Tally

LOCK_NOT_AVAILABLE = "55P03"
NONE_COUNTED: Mapping[str, int] = {}


class RetryPolicy(NamedTuple):
    """What a client wants done with a failure, and the log's generation while the client is locked.

    Attributes:
        verdict: What becomes of an event that has no attempts left.
    """

    max_attempts: int
    backoff_seconds: float
    backoff_max_seconds: float
    verdict: OnExhausted
    generation: int


class Failing(NamedTuple):
    """A delivery that a failure is about; `tries` are its attempts since it was last redriven, split or halted."""

    client: str
    offset: int
    epoch: int
    attempt: int
    tries: int


class Retry(NamedTuple):
    """A delivery that waits for its next attempt; if `anew`, its attempts are counted from one again."""

    client: str
    offset: int
    wait_seconds: float
    failure: Failure
    anew: bool = False


class Split(NamedTuple):
    """A delivery of a batch that failed, and the part that it goes out with next: the part's first offset."""

    client: str
    offset: int
    part: int
    failure: Failure = Failure()


class Exhausted(NamedTuple):
    """A delivery without attempts left, and what becomes of it."""

    client: str
    offset: int
    reason: str
    failure: Failure
    verdict: OnExhausted


def lock_clients(
    connection: Connection, clients: Collection[str], *, lock_seconds: float | None = None
) -> dict[str, RetryPolicy]:
    """Lock these clients, and wait for passes that hold them; those that the bridge does not drive are missing.

    Args:
        connection: A transaction.
        clients: Their ids.
        lock_seconds: How long to wait for this lock, and for any other in this transaction; None for the usual time.
    """
    binds = {"clients": sorted(clients), "lock_ms": None if lock_seconds is None else _milliseconds(lock_seconds)}
    rows = connection.execute(statement("outcomes/lock_clients"), binds)
    return {id: RetryPolicy(*policy) for id, *policy in rows}


def lock_free_clients(
    connection: Connection, clients: Collection[str], *, lock_seconds: float
) -> tuple[dict[str, RetryPolicy], set[str]]:
    """Lock those of these clients that can be had at once; return them, and the ids of those that others hold."""
    binds = {"clients": sorted(clients), "lock_ms": _milliseconds(lock_seconds)}
    rows = run(connection, "outcomes/lock_free_clients", binds)
    free = {id: RetryPolicy(*policy) for id, *policy in rows}
    missing = {"clients": sorted(set(clients) - free.keys())}
    if not missing["clients"]:
        return free, set()
    return free, set(connection.execute(statement("outcomes/driven_clients"), missing).scalars())


def is_held(error: BaseException) -> bool:
    """Tell whether this says that another transaction held a row for too long."""
    cause = getattr(error.__cause__, "orig", None)
    return getattr(cause, "sqlstate", None) == LOCK_NOT_AVAILABLE


def _milliseconds(seconds: float) -> str:
    """Say a wait as Postgres wants it; 0 would mean for ever."""
    return str(max(1, round(seconds * 1000)))


def succeed(connection: Connection, outcomes: Sequence[Outcome]) -> defaultdict[str, Tally]:
    """Finish the deliveries that succeeded; return the events that each client finished."""
    finished = defaultdict[str, Tally](Tally)
    for some in chunks(outcomes, most=max(1, len(outcomes))):
        for row in run(connection, "outcomes/succeed", _attempt_binds(some) | range_of(some)):
            finished[row.client_id] += Tally(row.finished, row.total)
    return finished


def expired(connection: Connection, client: Client) -> list[Failing]:
    """Find and lock the deliveries whose last allowed attempt was never answered."""
    rows = connection.execute(statement("pass/expired"), {"client": client.id, "max_attempts": client.max_attempts})
    return [Failing(*row) for row in rows]


def done(connection: Connection, client: Client) -> list[Outcome]:
    """Find the deliveries whose handler's transaction committed, but whose callback never came, as successes."""
    rows = connection.execute(statement("pass/done"), {"client": client.id})
    return [Outcome(client=row.client_id, offset=row.offset, epoch=row.epoch, attempt=row.attempt) for row in rows]


def failing(connection: Connection, outcomes: Sequence[Outcome], *, state: str = "sent") -> list[Failing]:
    """Find and lock the deliveries in this state that these failures are about."""
    binds = {**_attempt_binds(outcomes), "state": state}
    return [Failing(*row) for row in connection.execute(statement("outcomes/failing"), binds)]


def effected(connection: Connection, failures: Sequence[Outcome]) -> list[Outcome]:
    """Return those of these failures whose event is done all the same: its handler's transaction had committed."""
    done = {(d.client, d.offset, d.epoch, d.attempt) for d in failing(connection, failures, state="done")}
    return [f for f in failures if (f.client, f.offset, f.epoch, f.attempt) in done]


def retry_later(connection: Connection, retries: Sequence[Retry], *, tell: bool = True) -> None:
    """Let failed deliveries wait for their next attempt; unless told otherwise, observers hear of each."""
    for some in chunks(retries):
        binds = {
            **_places(some),
            "wait_seconds": [r.wait_seconds for r in some],
            "anew": [r.anew for r in some],
            **_failures([r.failure for r in some]),
        }
        rows = connection.execute(statement("outcomes/retry_later"), binds).all()
        if tell:
            by_place = {(r.client, r.offset): r for r in some}
            after_commit(connection.info, [_retried(row, by_place[row.client_id, row.offset]) for row in rows])


def split(connection: Connection, splits: Sequence[Split]) -> None:
    """Let the parts of a batch that failed go out by themselves, at once; their attempts are counted anew."""
    for some in chunks(splits):
        binds = {**_places(some), "parts": [delivery.part for delivery in some]}
        binds["failures"] = [kept_json(replace(delivery.failure, traceback=None)) for delivery in some]
        connection.execute(statement("outcomes/split"), binds)


def give_up(connection: Connection, exhausted: Sequence[Exhausted]) -> int:
    """Do what each client wants done with its event; return how many were parked.

    Under `park` and `hold-key` the event becomes a dead letter; under `hold-key` its key's successors wait for it.
    Under `halt` nothing is passed over: the client stops, and the event goes out afresh when it is resumed.
    """
    parked = [e for e in exhausted if e.verdict != "halt"]
    for some in chunks(parked):
        binds = {
            **_places(some),
            "reasons": [e.reason for e in some],
            "held": [e.verdict == "hold-key" for e in some],
            **_failures([e.failure for e in some]),
        }
        rows = connection.execute(statement("outcomes/park"), binds).all()
        after_commit(connection.info, [happening for row in rows for happening in _parked(row)])
    halting = [e for e in exhausted if e.verdict == "halt"]
    retry_later(connection, [Retry(e.client, e.offset, 0, e.failure, anew=True) for e in halting], tell=False)
    for e in halting:
        set_state(connection, e.client, state="halted", reason=f"event {e.offset} {e.reason}", by="bridge")
        after_commit(connection.info, [_halted(e)])
    return len(parked)


def set_state(connection: Connection, client: str, *, state: str, reason: str, by: str) -> bool:
    """Pause, resume, drain or halt a client; tell whether the bridge drives a client of this id."""
    binds = {"client": client, "state": state, "reason": reason, "by": by}
    return connection.execute(statement("operate/set_state"), binds).one_or_none() is not None


def move_cursors(
    connection: Connection,
    succeeded: Mapping[str, Tally],
    *,
    failed: Collection[str] = (),
    failures: Mapping[str, int] = NONE_COUNTED,
    duplicates: Mapping[str, int] = NONE_COUNTED,
) -> None:
    """Move the cursors of these clients up to what is finished, and let the pump look at them where it must.

    Args:
        connection: In a transaction that holds the clients.
        succeeded: What each has finished by success.
        failed: The clients that have failures among their outcomes.
        failures: For metrics, how many failures of each counted.
        duplicates: For metrics, how many outcomes of each changed nothing.
    """
    binds = {
        "clients": list(succeeded),
        "succeeded": [finished.number for finished in succeeded.values()],
        "totals": [finished.total for finished in succeeded.values()],
        "failed": [client in failed for client in succeeded],
        "failures": [failures.get(client, 0) for client in succeeded],
        "duplicates": [duplicates.get(client, 0) for client in succeeded],
    }
    connection.execute(statement("outcomes/move_cursors"), binds)


def _retried(row: Any, retry: Retry) -> Happening:
    return Happening(
        kind="retried",
        client=row.client_id,
        offset=row.offset,
        key=row.key,
        attempt=row.attempt,
        task_id=task_id(row.client_id, row.offset, row.epoch, row.attempt),
        reason=_why(retry.failure.type, retry.failure.message),
        error_type=retry.failure.type or "",
        seconds=retry.wait_seconds,
    )


def _parked(row: Any) -> list[Happening]:
    """Return what happened to an event that was given up: it is parked, and may hold its key."""
    kinds: tuple[Kind, ...] = ("parked", "held") if row.held else ("parked",)
    return [
        Happening(
            kind=kind,
            client=row.client_id,
            offset=row.offset,
            key=row.key,
            attempt=row.attempt,
            task_id=task_id(row.client_id, row.offset, row.epoch, row.attempt),
            reason=_why(row.reason, row.error_type, row.error),
            error_type=row.error_type or "",
        )
        for kind in kinds
    ]


def _halted(it: Exhausted) -> Happening:
    reason = _why(f"event {it.offset} {it.reason}", it.failure.type, it.failure.message)
    return Happening(kind="halted", client=it.client, offset=it.offset, reason=reason, error_type=it.failure.type or "")


def _why(*known: str | None) -> str:
    """Return what is known of a reason, as in `failed 5 times: KeyError: no such order`."""
    return ": ".join(filter(None, known))


def _attempt_binds(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the binds that name attempts."""
    return {
        "clients": texts([o.client for o in outcomes]),
        "offsets": numbers([o.offset for o in outcomes]),
        "epochs": numbers([o.epoch for o in outcomes]),
        "attempts": numbers([o.attempt for o in outcomes]),
    }


def _places(deliveries: Sequence[Placed]) -> dict[str, Any]:
    """Return the binds that name deliveries."""
    return {
        "clients": [delivery.client for delivery in deliveries],
        "offsets": [delivery.offset for delivery in deliveries],
        **range_of(deliveries),
    }


def _failures(failures: Sequence[Failure]) -> dict[str, list[str | None]]:
    """Return the binds that say why."""
    return {
        "error_types": [f.type for f in failures],
        "errors": [f.message for f in failures],
        "tracebacks": [f.traceback for f in failures],
        "failures": [kept_json(f) for f in failures],
    }

"""An effect exactly once: a handler's writes and the end of its delivery commit together, or not at all.

It needs the handler's tables and the event log in one Postgres. A redelivered event that is done is refused before the
handler's body runs; while the body runs, its lock on the delivery keeps the lease alive, so a slow handler is not
doubled.

The effect is fenced as every outcome is. A message of another epoch has none, whenever it is handled: one from before a
`seek`, or from a client that was removed and registered again. Nor has an event of another generation: a restore of the
database has taken it away, and its offset may name another event now. Of one epoch any attempt that was handed over may
take effect, the first one that comes, and no second one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeAlias, overload

import psycopg
from celery import current_app
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bridge.app import bridge_of
from bridge.contract import MAP
from bridge.errors import AlreadyDone, BatchInterrupted, UsageError
from bridge.store.callers import is_djangos, way_of
from bridge.store.callers.way import HasCursor
from bridge.store.effect import HandedOver, await_pass, begin_effect, end_effect, finish_soon
from bridge.store.sessions import look_as_role

DONE = "done"
StandIn: TypeAlias = Callable[[Any], AbstractContextManager[Any]]
stand_in: ContextVar[StandIn | None] = ContextVar("stand_in", default=None)  # of a test that calls handlers itself


@overload
def transaction(event: Mapping[str, Any]) -> AbstractContextManager[Session]: ...
@overload
def transaction(event: Mapping[str, Any], on: Session) -> AbstractContextManager[Session]: ...
@overload
def transaction(
    event: Mapping[str, Any], on: psycopg.Connection[Any]
) -> AbstractContextManager[psycopg.Connection[Any]]: ...
@overload
def transaction(event: Mapping[str, Any], on: HasCursor) -> AbstractContextManager[Any]: ...
@contextmanager
def transaction(event: Mapping[str, Any], on: Any = None) -> Iterator[Any]:
    """Run a handler's writes in one transaction with the end of its delivery.

    ::

        @app.task
        def transfer(event):
            with bridge.transaction(event) as session:
                session.execute(...)

    Args:
        event: The event as the handler got it: `client`, `offset`, `generation`, `epoch` and `attempt` say which
            hand-over it is.
        on: A SQLAlchemy session, a psycopg connection or `django.db.connection` on the bridge's database, outside of
            any transaction; by default a session of the bridge's own.

    Yields:
        The session or connection. Leaving the block commits, an exception rolls everything back.

    Raises:
        AlreadyDone: another attempt has finished the event, it was handed over in another epoch, or it is of another
            generation of the log; the block does not run. Let it through: Celery then ignores the task.
        BatchInterrupted: the same, in a batch in calls; let it through, the rest of the batch goes out again.
        UsageError: this is no event's dict, or `on` is inside a transaction, or has none because it autocommits.
    """
    mine = _handed_over(event)
    if (begun_by_test := stand_in.get()) is not None:
        with begun_by_test(on) as connection:
            yield connection
        return
    state = None
    for coming in (True, False):  # the second time after the pass that may hand it over at this moment
        with _begun(on) as connection:
            state = begin_effect(connection, mine)
            if state not in (None, DONE):
                yield connection
                end_effect(connection, mine)
                return
        if state == DONE or not coming or not _pass_has_ended(on, mine):
            break
    if state == DONE:
        _finish(on, mine)
    refused = AlreadyDone(
        f"event {mine.offset} of generation {mine.generation} is not open for client {mine.client!r} "
        f"in epoch {mine.epoch}"
    )
    if current_app.tasks[MAP].request.id is not None:  # this task runs inside that one
        raise BatchInterrupted(f"{refused}, its batch goes on without it") from refused
    raise refused


def _handed_over(event: Mapping[str, Any]) -> HandedOver:
    """Read from an event's dict which hand-over it is.

    Raises:
        UsageError: it does not say so.
    """
    try:
        client, offset = str(event["client"]), int(event["offset"])
    except (TypeError, KeyError, ValueError):
        raise UsageError(
            "bridge.transaction needs the event's dict with its client, offset, generation, epoch and attempt: "
            "register the client with --call event"
        ) from None
    try:
        return HandedOver(client, offset, *(int(event[name]) for name in ("generation", "epoch", "attempt")))
    except (TypeError, KeyError, ValueError):
        raise UsageError(
            f"event {offset} of client {client!r} does not say its generation, epoch and attempt, as one from an older "
            "bridge: its attempt fails, and the next one says so; a handler must pass the event's dict on as it got it"
        ) from None


def _pass_has_ended(on: Any, mine: HandedOver) -> bool:
    """Wait for the pass that may be handing the event over; tell whether it is worth while to look again."""
    with _begun(on) as connection:
        return await_pass(connection, mine)


def _finish(on: Any, mine: HandedOver) -> None:
    """Have a done event finished by the next pass; where that is not possible soon, the end of its lease does it."""
    with suppress(DBAPIError, psycopg.Error, *_djangos_errors(on)), _begun(on) as connection:
        finish_soon(connection, mine)


@contextmanager
def _begun(on: Any) -> Iterator[Any]:
    """Begin a transaction on the session or connection that the caller gave, or on a session of our own."""
    if on is None:
        with Session(bridge_of(current_app).store.handlers_engine) as session, session.begin():
            look_as_role(session.connection())  # what runs in the block is the handler's own SQL
            yield session
    elif isinstance(on, Session):
        if on.in_transaction():
            raise UsageError("the session is inside a transaction already: bridge.transaction must begin and end it")
        with on.begin():
            if way_of(on).autocommits(on):
                raise UsageError(
                    "each statement of the session commits by itself (isolation_level AUTOCOMMIT), so that nothing "
                    "would be rolled back together: give bridge.transaction one of an engine that has transactions"
                )
            yield on
    elif isinstance(on, psycopg.Connection):
        if on.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            raise UsageError("the connection is inside a transaction already: bridge.transaction must begin and end it")
        with on.transaction():
            yield on
    elif is_djangos(on):
        from django.db import transaction as djangos

        if on.in_atomic_block or not on.get_autocommit():
            raise UsageError(
                f"Django's connection {on.alias!r} is inside a transaction already: bridge.transaction must begin and "
                "end it, so call it outside of atomic"
            )
        with djangos.atomic(using=on.alias):
            yield on
    else:
        raise UsageError(
            f"can't begin a transaction on a {type(on).__name__}: pass a SQLAlchemy session, a psycopg connection or "
            "django.db.connection"
        )


def _djangos_errors(on: Any) -> tuple[type[Exception], ...]:
    """Return what Django's connections raise, where this is one."""
    if not is_djangos(on):
        return ()
    from django.db import Error

    return (Error,)

"""An effect exactly once: a handler's writes and the end of its delivery commit together, or not at all.

It needs the handler's tables and the event log in one Postgres. A redelivered event that is done is refused before the
handler's body runs; while the body runs, its lock on the delivery keeps the lease alive, so a slow handler is not
doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

import psycopg
from celery import current_app
from sqlalchemy.orm import Session

from bridge.app import bridge_of
from bridge.contract import MAP
from bridge.errors import AlreadyDone, BatchInterrupted, UsageError
from bridge.store.connect import look_as_role
from bridge.store.effect import begin_effect, end_effect


@overload
def transaction(event: Mapping[str, Any]) -> AbstractContextManager[Session]: ...
@overload
def transaction(event: Mapping[str, Any], on: Session) -> AbstractContextManager[Session]: ...
@overload
def transaction(
    event: Mapping[str, Any], on: psycopg.Connection[Any]
) -> AbstractContextManager[psycopg.Connection[Any]]: ...
@contextmanager
def transaction(event: Mapping[str, Any], on: Any = None) -> Iterator[Any]:
    """Run a handler's writes in one transaction with the end of its delivery.

    ::

        @app.task
        def transfer(event):
            with bridge.transaction(event) as session:
                session.execute(...)

    Args:
        event: The event as the handler got it: `client` and `offset` say which delivery it is.
        on: A SQLAlchemy session or psycopg connection on the bridge's database, outside of any transaction; by default
            a session of the bridge's own.

    Yields:
        The session or connection. Leaving the block commits, an exception rolls everything back.

    Raises:
        AlreadyDone: the event was finished by another attempt; the block does not run. Let it through: Celery then
            ignores the task.
        BatchInterrupted: the same, in a batch in calls; let it through, the rest of the batch goes out again.
        UsageError: this is no event's dict, or `on` is inside a transaction.
    """
    try:
        client, offset = str(event["client"]), int(event["offset"])
    except (TypeError, KeyError, ValueError):
        raise UsageError(
            "bridge.transaction needs the event's dict with its client and offset: "
            "register the client with --call event"
        ) from None
    with _begun(on) as connection:
        try:
            begin_effect(connection, client=client, offset=offset)
        except AlreadyDone as error:
            if current_app.tasks[MAP].request.id is not None:  # this task runs inside that one
                raise BatchInterrupted(f"{error}, its batch goes on without it") from error
            raise
        yield connection
        end_effect(connection, client=client, offset=offset)


@contextmanager
def _begun(on: Any) -> Iterator[Any]:
    """Begin a transaction on the session or connection that the caller gave, or on a session of our own."""
    if on is None:
        with Session(bridge_of(current_app).store.engine) as session, session.begin():
            look_as_role(session)  # what runs in the block is the handler's own SQL
            yield session
    elif isinstance(on, Session):
        if on.in_transaction():
            raise UsageError("the session is inside a transaction already: bridge.transaction must begin and end it")
        with on.begin():
            yield on
    elif isinstance(on, psycopg.Connection):
        if on.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            raise UsageError("the connection is inside a transaction already: bridge.transaction must begin and end it")
        with on.transaction():
            yield on
    else:
        raise UsageError(
            f"can't begin a transaction on a {type(on).__name__}: pass a SQLAlchemy session or a psycopg connection"
        )

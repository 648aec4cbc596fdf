"""A connection that waits for a silent server no longer than its statements may take.

Postgres ends a statement that takes too long, and TCP a connection whose other end is gone. Neither helps where a proxy
or a load balancer keeps the connection up while the server behind it has vanished: no answer, no end and no error come
then. The same is so of a COMMIT that waits for a synchronous standby: no time-out of Postgres holds for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

GRACE_SECONDS = 15.0  # after the time of a statement, in which Postgres itself would have ended it
LEAST_SECONDS = 45.0  # an audit's statements have half a minute, whatever those of the session have

Answer = TypeVar("Answer")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server has said nothing for so long while it was waited for."""

    silent_seconds = LEAST_SECONDS

    def wait(self, gen: Generator[Any, Any, Answer], *args: Any, **options: Any) -> Answer:
        """Run a step of the protocol as psycopg does, which looks in ten times a second while nothing comes.

        Raises:
            psycopg.OperationalError: the server was silent for too long; the connection is of no use any more.
        """
        return super().wait(_bounded(gen, self.silent_seconds), *args, **options)


def bound(engine: Engine, *, statement_seconds: float) -> None:
    """Let no session of an engine wait for ever for a server that has vanished without a word.

    Args:
        engine: Of psycopg.
        statement_seconds: Longest that Postgres lets a statement of it take.
    """
    seconds = max(LEAST_SECONDS, statement_seconds + GRACE_SECONDS)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, places: list[Any], named: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(*places, **named)
        connection.silent_seconds = seconds
        return connection


def _bounded(
    step: Generator[Any, Any, Answer], seconds: float, clock: Callable[[], float] = time.monotonic
) -> Generator[Any, Any, Answer]:
    """Run a step, and count the time only while nothing comes: an answer at once costs no look at the clock."""
    try:
        state = next(step)
        since = None
        while True:
            ready = yield state
            if ready:
                since = None
            elif since is None:
                since = clock()
            elif clock() - since > seconds:
                raise psycopg.OperationalError(f"the server has not answered for {seconds:g} s, and may have vanished")
            state = step.send(ready)
    except StopIteration as end:
        answer: Answer = end.value
        return answer

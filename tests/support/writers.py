"""A log whose writers stop where the test wants them to."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.conftest import Connect

PUT = "INSERT INTO fq.events DEFAULT VALUES"


class Log:
    """The events of one database, their writers, and a session that moves the horizon."""

    def __init__(self, url: str, connect: Connect) -> None:
        self.url = url
        self._connect = connect
        self._watcher = self.session()

    def session(self) -> psycopg.Connection[Any]:
        """Open a connection in autocommit mode, whose statements end after 20 s."""
        return self._connect(self.url, options="-c statement_timeout=20s")

    def writer(self) -> psycopg.Connection[Any]:
        """Return a session that has inserted one event and not committed it."""
        session = self.session()
        session.execute("BEGIN")
        session.execute(PUT)
        return session

    def put(self) -> None:
        """Insert one event and commit it."""
        self._watcher.execute(PUT)

    def ask(self, query: str) -> Any:
        """Return the one value of a query."""
        ((value,),) = self._watcher.execute(query.encode()).fetchall()
        return value

    def advance(self) -> int:
        """Move the horizon as the pump does, and return it."""
        return int(self.ask("SELECT fq.advance_horizon()"))

    def read(self, wait_ms: int = 0) -> int:
        """Return the horizon as plain SQL readers see it."""
        return int(self.ask(f"SELECT fq.read_horizon({wait_ms})"))

    def visible(self) -> list[int]:
        """Return the offsets of all events that can be seen now."""
        return [offset for (offset,) in self._watcher.execute('SELECT "offset" FROM fq.events ORDER BY 1')]

    def steps(self) -> int:
        """Return how many steps with writers are remembered."""
        return int(self.ask("SELECT jsonb_array_length(steps) FROM fq.horizon"))

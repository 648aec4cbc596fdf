"""A log with writers that stop wherever the test wants them to."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.conftest import Connect

PUT = "INSERT INTO fq.events DEFAULT VALUES"


class Log:
    """One database's events, its writers, and somebody who moves the horizon."""

    def __init__(self, url: str, connect: Connect) -> None:
        self.url = url
        self._connect = connect
        self._watcher = self.session()

    def session(self) -> psycopg.Connection[Any]:
        """A connection of its own, in autocommit mode; nothing that it does may wait long."""
        return self._connect(self.url, options="-c statement_timeout=20s")

    def writer(self) -> psycopg.Connection[Any]:
        """A session that has inserted one event and not committed it."""
        session = self.session()
        session.execute("BEGIN")
        session.execute(PUT)
        return session

    def put(self) -> None:
        """Insert one event and commit it."""
        self._watcher.execute(PUT)

    def ask(self, query: str) -> Any:
        """The one value that a query returns."""
        ((value,),) = self._watcher.execute(query.encode()).fetchall()
        return value

    def advance(self) -> int:
        """Move the horizon as the pump does, and return it."""
        return int(self.ask("SELECT fq.advance_horizon()"))

    def read(self, wait_ms: int = 0) -> int:
        """The horizon as readers see it that only have SQL."""
        return int(self.ask(f"SELECT fq.read_horizon({wait_ms})"))

    def visible(self) -> list[int]:
        """The offsets of all events that can be seen now."""
        return [offset for (offset,) in self._watcher.execute('SELECT "offset" FROM fq.events ORDER BY 1')]

    def generations(self) -> int:
        """How many generations of writers are remembered."""
        return int(self.ask("SELECT jsonb_array_length(generations) FROM fq.horizon"))

"""A primary and a replica of Postgres that change places, as an operator or a fail-over tool lets them."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.support.clusters import Clusters, free_port, url
from tests.support.waiting import wait_until

FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class Pair:
    """Two servers, of which one follows the other.

    Args:
        servers: Where they live.
        settings: Of both.

    Attributes:
        primary: Which of the two takes writes: 0 or 1.
    """

    def __init__(self, servers: Clusters, **settings: str) -> None:
        self._servers = servers
        self._ports = free_port(), free_port()
        self._data = servers.make("one", wal_keep_size="64MB", **settings), servers.home / "two"
        self.primary = 0
        servers.start(self._data[0], self._ports[0])
        servers.run(
            "pg_basebackup", "-d", self.url, "-D", str(self._data[1]), "-R", "-X", "stream", "--checkpoint=fast"
        )
        self.start_replica()

    @property
    def url(self) -> str:
        """The superuser's URL of the primary."""
        return url(self._ports[self.primary])

    @property
    def both(self) -> str:
        """A URL with both hosts, which finds the one that takes writes."""
        places = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://postgres@{places}/postgres?target_session_attrs=read-write"

    def eyes(self) -> psycopg.Connection[Any]:
        """Connect to the primary."""
        return psycopg.connect(self.url, autocommit=True)

    def start_replica(self) -> None:
        """Start the replica, and wait until it follows."""
        it = 1 - self.primary
        self._servers.start(self._data[it], self._ports[it])
        wait_until(lambda: self._ask(FOLLOWS) == 1, what="the replica follows", timeout=60)

    def stop_replica(self) -> None:
        """Stop the replica: what is written from now on it does not have."""
        self._servers.stop(self._data[1 - self.primary])

    def stop_primary(self, *, crash: bool = False) -> None:
        """Stop the primary; in order it first sends the replica all that it has."""
        self._servers.stop(self._data[self.primary], "immediate" if crash else "fast")

    def promote(self, *, start: bool = False) -> None:
        """Let the replica take writes.

        Args:
            start: It was stopped, and the primary is gone.
        """
        new = 1 - self.primary
        if start:
            self._servers.start(self._data[new], self._ports[new])
        self._servers.run("pg_ctl", "-D", str(self._data[new]), "-w", "promote")
        self.primary = new

    def rejoin(self) -> None:
        """Let the former primary, which was stopped in order, follow the one that was promoted."""
        old = self._data[1 - self.primary]
        (old / "standby.signal").touch()
        with (old / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = 'host=127.0.0.1 port={self._ports[self.primary]} user=postgres'\n")
        self.start_replica()

    def switch(self) -> None:
        """Let the two change places; nothing is lost."""
        self.stop_primary()
        self.promote()
        self.rejoin()

    def wait_until_level(self) -> None:
        """Wait until the replica has all that the primary has now."""
        now = self._ask("SELECT pg_current_wal_lsn()")
        level = f"SELECT bool_and(replay_lsn >= '{now}') FROM pg_stat_replication"
        wait_until(lambda: self._ask(level), timeout=60, what="the replica has everything")

    def _ask(self, query: str) -> object:
        with self.eyes() as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

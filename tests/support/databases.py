"""Databases for tests: clones of one migrated Postgres database, and the numbered databases of a Redis."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from redis import Redis


class Databases:
    """The test databases of one Postgres server."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._template: str | None = None
        self._names = (f"bridge_test_{os.getpid()}_{number}" for number in itertools.count(1))

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Make an empty database; yield its URL and drop it afterwards."""
        name = next(self._names)
        self._execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Clone the migrated template; yield the clone's URL and drop it afterwards."""
        template, name = self.template(), next(self._names)
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    def template(self) -> str:
        """Return the name of the migrated database, making it when first asked."""
        if self._template is None:
            from bridge.store.connect import Store
            from bridge.store.migrate import migrate

            name = next(self._names)
            self._execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)
            self._template = name  # before migrating, so that a failed one is dropped too
            store = Store(self.url(name))
            migrate(store.engine)
            store.close()
            # A template must not be in use while it is cloned, and a pool may have kept a connection.
            self._execute("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        return self._template

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self._drop(self._template)
            self._template = None

    def url(self, name: str) -> str:
        """Return the URL of one database of this server."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            prepared = admin.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]).fetchall()
        if prepared:  # FORCE ends sessions but not these, and they can only be ended from inside
            with psycopg.connect(self.url(name), autocommit=True) as inside:
                for (gid,) in prepared:
                    inside.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class RedisDatabases:
    """The numbered databases of one Redis server, or our share of them: pytest's workers may share a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        share, shares = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
        self._free = deque(range(1, 16)[int(share.removeprefix("gw")) :: int(shares)])

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Empty the database that has not been used for longest; yield its URL, and take it back afterwards."""
        number = self._free.popleft()  # workers of the last tests may still be there, and would take our messages
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{number}"))
        with Redis.from_url(url) as client:
            client.flushdb()
        try:
            yield url
        finally:
            self._free.append(number)

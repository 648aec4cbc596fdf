"""What goes on around the bridge: locks on clients' rows, a database that refuses writes, and frozen processes."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil
import psycopg

READ_ONLY_SECONDS = 3.0
LOCKED_SECONDS = 4.0
SETTLED_SECONDS = 1.0  # what had begun before the lock has ended then
FROZEN_SECONDS = 6.0
BRIDGES = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'celery-event-bridge %%' AND pid <> %s"
# Successes that clients other than the locked one have had: `succeeded` counts them for each client.
FINISHED = "SELECT coalesce(sum(succeeded), 0), (SELECT count(*) FROM fq.deliveries WHERE client_id <> %(id)s)"
OTHERS = FINISHED + " FROM fq.clients WHERE id <> %(id)s"


class Lock(NamedTuple):
    """A client's row that was locked for a while.

    Attributes:
        client: Its id.
        open: Deliveries of the other clients that were open when the lock began.
        finished: Events that the other clients finished meanwhile.
    """

    client: str
    open: int
    finished: int


class Weather:
    """Makes bad weather, one piece at a time, in the thread that asks for it.

    Args:
        url: The database, as a superuser.
        choose: Random choices.
        pause: Waits so many seconds, or until the torture ends.
    """

    def __init__(self, url: str, *, choose: random.Random, pause: Callable[[float], object]) -> None:
        self._url, self._choose, self._pause = url, choose, pause
        self.locks: list[Lock] = []

    def lock(self) -> str:
        """Hold one client's row, as `psql` in a transaction does; return what was done."""
        with psycopg.connect(self._url) as holder, psycopg.connect(self._url, autocommit=True) as eyes:
            rows = holder.execute("SELECT id FROM fq.clients ORDER BY id").fetchall()
            client = self._choose.choice(rows)[0]
            holder.execute("SELECT FROM fq.clients WHERE id = %s FOR UPDATE", [client])
            self._pause(SETTLED_SECONDS)
            before, open = eyes.execute(OTHERS, {"id": client}).fetchone() or (0, 0)
            self._pause(LOCKED_SECONDS)
            after, _ = eyes.execute(OTHERS, {"id": client}).fetchone() or (0, 0)
            self.locks.append(Lock(client, int(open), int(after - before)))
        return f"the row of {client} was locked"

    def read_only(self) -> str:
        """Let every new session be read-only for a while, as after a fail-over, and end the bridge's sessions."""
        with psycopg.connect(self._url, autocommit=True) as admin:
            name = admin.info.dbname
            admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
            try:
                for (pid,) in admin.execute(BRIDGES, [admin.info.backend_pid]).fetchall():
                    admin.execute("SELECT pg_terminate_backend(%s)", [pid])
                self._pause(READ_ONLY_SECONDS)
            finally:
                admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
        return "new sessions were read-only"

    def freeze(self, process: psutil.Process) -> str:
        """Stop a process with its session left open, as a machine that vanished leaves it; later it goes on."""
        with suppress(psutil.Error):
            process.send_signal(signal.SIGSTOP)
            try:
                self._pause(FROZEN_SECONDS)
            finally:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGCONT)
        return "a pump's process was frozen"

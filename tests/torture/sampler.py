"""Look at the tables every 50 ms, by plain SQL in one snapshot, and then at the length of the handlers' record."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

EVERY_SECONDS = 0.05
LOOK = """
SELECT c.id, c."offset", c.dispatched, (SELECT h."offset" FROM fq.horizon h),
       (SELECT count(*) FROM fq.deliveries d WHERE d.client_id = c.id),
       (SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM fq.deliveries d
         WHERE d.client_id = c.id AND d.key IS NOT NULL AND d.state = 'sent' GROUP BY d.key) k),
       ARRAY(SELECT p."offset" FROM fq.parked p WHERE p.client_id = c.id)
  FROM fq.clients c
"""


class Seen(NamedTuple):
    """One client at one moment; `recorded` is the length of the handlers' record, read right after the snapshot."""

    client: str
    cursor: int
    dispatched: int
    horizon: int
    open: int
    most_of_a_key: int
    parked: list[int]
    recorded: int


class Sampler:
    """A thread that takes samples until it is stopped.

    Args:
        url: The database.
        record: The handlers' record.
    """

    def __init__(self, url: str, record: Path) -> None:
        self.samples: list[Seen] = []
        self.errors: list[BaseException] = []
        self._url, self._record = url, record
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[Seen]:
        """Look a last time; all that was seen, in order."""
        self._stopping.set()
        self._thread.join(30)
        return self.samples

    def _run(self) -> None:
        while True:
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    while not self._stopping.is_set():
                        began = time.monotonic()
                        self._look(connection)
                        self._stopping.wait(max(0.001, EVERY_SECONDS - (time.monotonic() - began)))
                    self._look(connection)
                return
            except psycopg.OperationalError:  # the server was stopped
                time.sleep(EVERY_SECONDS)
            except BaseException as error:
                self.errors.append(error)
                return

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        rows: list[Any] = connection.execute(LOOK).fetchall()
        recorded = self._record.stat().st_size
        self.samples += [Seen._make((*row, recorded)) for row in rows]

"""Audits of every client while everything is killed, and one more of each at the end."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bridge.errors import StoreUnavailable
from bridge.operate.audit import audit
from bridge.store import Store

EVERY_SECONDS = 0.7


class Auditor:
    """A thread that audits one client after the other until it is stopped.

    Args:
        url: The database.
        clients: Their ids.

    Attributes:
        audits: How many audits there were.
    """

    def __init__(self, url: str, clients: Sequence[str]) -> None:
        self.audits = 0
        self.errors: list[BaseException] = []
        self._alarms: dict[str, list[str]] = defaultdict(list)
        self._clients = clients
        self._store = Store(url, role="auditor")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Mapping[str, Sequence[str]]:
        """Audit each client a last time; return the contradictions that were found of each, now or before."""
        self._stopping.set()
        self._thread.join(60)
        try:
            for client in self._clients:
                self._audit(client)
        finally:
            self._store.close()
        return self._alarms

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                for client in self._clients:
                    try:
                        self._audit(client)
                    except StoreUnavailable:  # its session was ended as those of the bridge are
                        continue
                    finally:
                        self._stopping.wait(EVERY_SECONDS)
        except BaseException as error:
            self.errors.append(error)

    def _audit(self, client: str) -> None:
        found = audit(self._store, client)
        self.audits += 1
        self._alarms[client] += [
            f"{it.kind}: {it.text} {list(it.offsets or it.among)}" for it in (*found.contradictions,)
        ]

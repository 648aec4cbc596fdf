"""What a collector says of itself in Postgres: that it is at work, and until when all that it had taken is settled.

Callbacks that a collector has in hand are in no queue, and RabbitMQ tells nobody of them. Whoever looks for lost
messages must know that none of their callbacks is among these.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from contextlib import suppress

from bridge.app import Bridge
from bridge.errors import BridgeError
from bridge.store.durations import note_durations
from bridge.store.losses import COLLECTOR_HOLDS_SECONDS, forget_collector, note_collector

NOTE_SECONDS = 2.0


class CollectorNote:
    """The note of one collector.

    Args:
        bridge: Its name and its store.

    Attributes:
        settled_at: A `time.monotonic()`; all that was taken until then is settled.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._name, self._holder = uuid.uuid4().hex, f"{socket.gethostname()} {os.getpid()}"
        self._noted = -NOTE_SECONDS
        self.settled_at = time.monotonic()

    def write(self) -> None:
        """Write it, every few seconds. While Postgres is away, nothing is settled and nobody looks."""
        now = time.monotonic()
        if now - self._noted < NOTE_SECONDS:
            return
        with suppress(BridgeError):
            note_collector(
                self._bridge.store,
                bridge=self._bridge.settings.queue,
                name=self._name,
                holder=self._holder,
                seconds=now - self.settled_at,
                most_seconds=COLLECTOR_HOLDS_SECONDS,
            )
            self._noted = now
        note_durations(self._bridge.store, bridge=self._bridge.settings.queue)

    def forget(self) -> None:
        """Take it away: nothing is in hand any more."""
        with suppress(BridgeError):
            forget_collector(self._bridge.store, bridge=self._bridge.settings.queue, name=self._name)

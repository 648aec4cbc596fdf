"""The demo's three clients: each reads the same log independently, with its own topics and its own order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bridge.demo.flights import Flight

QUEUE = "flights"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClient:
    """A client of the event log.

    Attributes:
        id: Its name.
        task: The fleet's task that handles its events.
        topics: Patterns of the topics that it reads.
        ordering: Whether events of one key wait for each other.
        wants: Tells whether a flight is for this client, without the bridge's way of matching topics.
    """

    id: str
    task: str
    topics: tuple[str, ...]
    ordering: Literal["key", "none"]
    wants: Callable[[Flight], bool]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that `eventbridge register` would be told."""
        return {"task": self.task, "queue": QUEUE, "topics": self.topics, "ordering": self.ordering}


CLIENTS = (
    DemoClient(
        id="fleet-position",
        task="fleet.position",
        topics=("flight.#",),
        ordering="key",
        wants=lambda flight: True,
    ),
    DemoClient(
        id="delays",
        task="fleet.delays",
        topics=("flight.JFK.#",),
        ordering="none",
        wants=lambda flight: flight.origin == "JFK",
    ),
    DemoClient(
        id="audit",
        task="fleet.audit",
        topics=("#",),
        ordering="none",
        wants=lambda flight: True,
    ),
)

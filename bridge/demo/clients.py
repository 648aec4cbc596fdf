"""The demo's three clients: each reads the same log for itself, with its own topics and its own order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bridge.demo.flights import Flight
from bridge.model import Registration

QUEUE = "flights"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClient:
    """A client of the event log.

    Attributes:
        wants: The same question as `topics`, asked without the bridge.
    """

    id: str
    task: str
    topics: tuple[str, ...]
    ordering: Literal["key", "none"]
    wants: Callable[[Flight], bool]

    @property
    def registration(self) -> Registration:
        """What `eventbridge register` would be told."""
        given = {"task": self.task, "queue": QUEUE, "topics": self.topics, "ordering": self.ordering}
        return Registration(id=self.id, given=given)


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

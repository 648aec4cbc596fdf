"""One reason for where a client stands, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.model import task_id
from bridge.store.facts import ClientFacts, OpenDelivery

# `error`: nothing goes on until a person acts; `warning`: something waits, or a person has asked for it; `info`: well.
Severity = Literal["error", "warning", "info"]
PAGE = "docs/troubleshooting.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for where a client stands.

    Attributes:
        kind: Its name, for programs, such as `window-full`.
        severity: `error`, `warning` or `info`.
        text: The reason in a sentence.
        do: What to do about it, where there is something to do.
        data: The facts behind the text.
    """

    kind: str
    severity: Severity
    text: str
    do: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The paragraph of the docs about it."""
        return f"{PAGE}#{self.kind}"


def delivery_data(facts: ClientFacts, it: OpenDelivery) -> dict[str, Any]:
    """Return a delivery's facts by name, with the id of its task."""
    return {**field_data(it), "task_id": task_id(facts.client, it.offset, it.epoch, it.attempt)}


def field_data(value: Any) -> dict[str, Any]:
    """Return a value's fields by name."""
    return {name: getattr(value, name) for name in value.__slots__}

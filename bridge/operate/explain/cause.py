"""One reason for where a client stands, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.model import task_id
from bridge.store.facts import Facts, Open


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for where a client stands.

    Attributes:
        kind: Its name, for programs.
        text: What is so.
        do: What to do about it, where there is something to do.
        data: The facts behind the text.
    """

    kind: str
    text: str
    do: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def delivery(facts: Facts, it: Open) -> dict[str, Any]:
    """A delivery's facts, with the id of its task."""
    return {**mapping(it), "task_id": task_id(facts.client, it.offset, it.epoch, it.attempt)}


def mapping(value: Any) -> dict[str, Any]:
    """A value's fields by name."""
    return {name: getattr(value, name) for name in value.__slots__}

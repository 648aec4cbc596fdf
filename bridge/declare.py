"""Clients declared in code: `@bridge.client(...)` on a Celery task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from bridge.errors import ClientConflict
from bridge.model import Position, Registration


class Named(Protocol):
    """What a Celery task is to this module."""

    name: str


Task = TypeVar("Task", bound=Named)

_declared: dict[str, tuple[Named, dict[str, Any], Position]] = {}


def client(id: str, *, start: str = "beginning", **settings: Any) -> Callable[[Task], Task]:
    """Declare that a Celery task is a client of the event log; the pump registers it when it next starts.

    ::

        @bridge.client("billing", topics=["order.*"])
        @app.task
        def bill(event): ...

    Args:
        id: The client's name.
        start: Where it begins if it is new: `beginning`, `now`, an offset, or a timestamp.
        **settings: The fields of `ClientSettings` but `id` and `task`; what is not given keeps its registered value.

    Raises:
        InvalidClient: a setting is out of range.
        ClientConflict: another task in this process has this id.
    """
    given = {
        name: tuple(value) if name in ("topics", "routes") and not isinstance(value, str) else value
        for name, value in settings.items()
    }
    position = Position.parse(start)
    Registration(id=id, given=given | {"task": "checked when it is registered"}, start=position)

    def declare(task: Task) -> Task:
        if not hasattr(task, "apply_async"):
            raise ClientConflict(f"client {id!r}: put @bridge.client above the decorator that makes the Celery task")
        known = _declared.get(id)
        if known is not None and known[0].name != task.name:
            raise ClientConflict(
                f"client {id!r} is declared twice, for {known[0].name} and for {task.name}: use two ids"
            )
        _declared[id] = (task, given, position)
        return task

    return declare


def registrations() -> Iterator[Registration]:
    """What was declared in this process so far."""
    for id, (task, given, position) in _declared.items():
        yield Registration(id=id, given=given | {"task": task.name}, start=position)

"""Clients that are declared in code: `@bridge.client(...)` on a Celery task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from bridge.errors import ClientConflict, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import SETTINGS, BatchAs, Call, OnExhausted, Ordering, ReportBy


class Named(Protocol):
    """A Celery task, as far as this module looks at it."""

    name: str


Task = TypeVar("Task", bound=Named)

_declared: dict[str, tuple[Named, Registration]] = {}


def client(
    id: str,
    *,
    start: str = "beginning",
    bridge: str | None = None,
    routes: Sequence[tuple[str, str]] | None = None,
    queue: str | None = None,
    topics: Sequence[str] | None = None,
    ordering: Ordering | None = None,
    window: int | None = None,
    call: Call | None = None,
    serializer: str | None = None,
    ack_timeout_seconds: float | None = None,
    max_attempts: int | None = None,
    backoff_seconds: float | None = None,
    backoff_max_seconds: float | None = None,
    on_exhausted: OnExhausted | None = None,
    batch: int | None = None,
    batch_wait_ms: int | None = None,
    batch_as: BatchAs | None = None,
    report_by: ReportBy | None = None,
) -> Callable[[Task], Task]:
    """Declare that a Celery task is a client of the event log; the pump registers it when it next starts.

    ::

        @bridge.client("billing", topics=["order.*"])
        @app.task
        def bill(event: bridge.Event) -> None: ...

    A setting that is not given keeps its registered value; a new client gets the default, which is in brackets below.

    Args:
        id: The client's name: letters, digits, `_`, `-` and `.`, at most 100.
        start: Where a new client begins: `beginning`, `now`, the offset after which it begins, or an ISO timestamp.
        bridge: Name of the bridge that serves it: the `bridge_queue` of its app; by default the one that registers
            it first. [`bridge`]
        routes: Pairs of topic pattern and task name; the first that matches an event names its task. [none]
        queue: Queue of the workers that run the task. [`celery`]
        topics: Topic patterns, one of which must match, such as `order.*` or `order.#`. [`#`, every topic]
        ordering: `key`: one open event for each key; `strict`: one open event; `none`: no order. [`key`]
        window: Most deliveries that are open at once, at least 1. [1000]
        call: Call the task with the `event`, its `payload`, the payload's fields as `kwargs`, or as a `cloudevent`.
            [`event`]
        serializer: Serializer of the messages, as kombu names it. [`json`]
        ack_timeout_seconds: Hand an event over again if its task reports nothing for so long, above 0. [3600]
        max_attempts: Most attempts at an event, at least 1. [5]
        backoff_seconds: Longest wait before the second attempt; doubles with every further attempt. [1]
        backoff_max_seconds: Longest wait before any attempt. [600]
        on_exhausted: After the last attempt: `park` the event, `hold-key` as well, or `halt` the client. [`park`]
        batch: Most events of one task call, at least 1; above 1 the task gets a list. [1]
        batch_wait_ms: How long a batch may wait to fill, in milliseconds. [0]
        batch_as: Call the task with a batch as one `list`, or in `calls`, once for each event. [`list`]
        report_by: Report outcomes by `callback`, or `in-process`: the fleet's worker writes to Postgres. [`callback`]

    Returns:
        A decorator that remembers the task and returns it as it is.

    Raises:
        InvalidClient: a setting is out of range, or two contradict each other; nothing is declared.
        UsageError: the parentheses or the id are missing, or `start` is no position.
        ClientConflict: another task in this process has this id, or what is decorated is no Celery task.
    """
    arguments = locals()  # first of all, so that nothing but the arguments is in it
    if not isinstance(id, str):
        name = getattr(id, "__name__", "billing")
        raise UsageError(f"@bridge.client needs the client's id: write @bridge.client({name!r}), with parentheses")
    given = {name: arguments[name] for name in SETTINGS if arguments.get(name) is not None}
    wanted = Registration(id=id, given=given, start=Position.parse(start))

    def declare(task: Task) -> Task:
        if not hasattr(task, "apply_async"):
            raise ClientConflict(f"client {id!r}: put @bridge.client above the decorator that makes the Celery task")
        known = _declared.get(id)
        if known is not None and known[0].name != task.name:
            raise ClientConflict(
                f"client {id!r} is declared twice, for {known[0].name} and for {task.name}: use two ids"
            )
        _declared[id] = (task, wanted)
        return task

    return declare


def registrations() -> Iterator[Registration]:
    """Return what was declared in this process so far."""
    # A task of `shared_task` gets its name when the app is finalized: ask for it as late as possible.
    for id, (task, wanted) in _declared.items():
        yield Registration(id=id, given={**wanted.given, "task": task.name}, start=wanted.start)

"""Clients that are declared in code: `@bridge.client(...)` on a Celery task."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from celery import Celery

from bridge.bounds import CLIENT_CHARACTERS
from bridge.errors import ClientConflict, UsageError
from bridge.model import Position, Registration
from bridge.settings.bridge import BridgeSettings
from bridge.settings.client import SETTINGS, BatchAs, Call, ClientSettings, OnExhausted, Ordering, ReportBy
from bridge.wording import said

logger = logging.getLogger("bridge")

ROUTED = ("queue", "serializer", "priority")  # of a task's options, those that a client has too


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
    rate: str | None = None,
    burst: int | None = None,
    priority: int | None = None,
    headers: Sequence[str] | Mapping[str, str] | None = None,
    time_limit_seconds: float | None = None,
    soft_time_limit_seconds: float | None = None,
    expires: None = None,
) -> Callable[[Task], Task]:
    """Declare that a Celery task is a client of the event log; the pump registers it when it next starts.

    ::

        @bridge.client("billing", topics=["order.*"])
        @app.task
        def bill(event: bridge.Event) -> None: ...

    A setting that is not given keeps its registered value. A new client gets the default, which is in brackets below;
    its queue, serializer and priority are those that the task has in its app: its own options, `task_routes`,
    `task_default_queue`, `task_serializer` and `task_default_priority`, as for `.delay()`.

    Args:
        id: The client's name: letters, digits, `_`, `-` and `.`, at most 100.
        start: Where a new client begins: `beginning`, `now`, the offset after which it begins, an ISO timestamp, or so
            long ago, as in `2h`.
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
        batch: Most events of one task call, at least 1; above 1 see `batch_as`. [1]
        batch_wait_ms: How long a batch may wait to fill, in milliseconds. [0]
        batch_as: Call the task with a batch as one `list`, or in `calls`, once for each event. [`list`]
        report_by: Report outcomes by `callback`, or `in-process`: the fleet's worker, with the bridge in it, writes to
            Postgres. [`callback`]
        rate: Most events that are handed over in a second, minute or hour, as `100/s`. [no limit]
        burst: Most events at once after a pause, where there is a rate; 0: those of a second. [0]
        priority: Priority of the messages, up to 9: 0 is the highest on Redis, and the lowest on RabbitMQ. [0]
        headers: Headers of the messages: a mapping of names and texts, or a list with names of headers of the event
            (`tenant`, or `x_tenant:tenant` under another name) and texts (`source=bridge`). [none]
        time_limit_seconds: A worker kills the task after so long, below the lease; 0: as the fleet has it. [0]
        soft_time_limit_seconds: The task gets `SoftTimeLimitExceeded` after so long; 0: as the fleet has it. [0]
        expires: Always refused: an expired message is never answered.

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
    given = {name: arguments[name] for name in (*SETTINGS, "expires") if arguments.get(name) is not None}
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


def registrations(app: Celery | None = None) -> Iterator[Registration]:
    """Return what was declared in this process so far.

    Args:
        app: The app whose routes and settings count, and whose clients they are; None: that of each task.
    """
    # A task of `shared_task` gets its name when the app is finalized: ask for it as late as possible.
    for task, wanted in _declared.values():
        yield replace(
            wanted,
            given={**wanted.given, "task": task.name},
            defaults=options_of(task, app),
            declared_by=app_name(app or getattr(task, "app", None)),
        )


def app_name(app: Celery | None) -> str:
    """Return what to call an app, for `fq.clients.declared_by`."""
    return str(getattr(app, "main", None) or "default")[:CLIENT_CHARACTERS]


def options_of(task: Named, app: Celery | None = None) -> dict[str, Any]:
    """Return the queue, serializer and priority with which its app would send a task, as far as a client can."""
    app = app or getattr(task, "app", None)
    if app is None:
        return {}
    own = {name: getattr(task, name, None) for name in ROUTED}
    try:
        sent = app.amqp.router.route({name: value for name, value in own.items() if value is not None}, task.name)
        own_queue = BridgeSettings.read(app.conf, os.environ).queue
    except Exception as error:  # a user's router may raise anything
        logger.warning("the app's routes of task %s are left out of account: %s", task.name, said(error))
        return {}
    found = {name: sent.get(name) for name in ROUTED}
    found["queue"] = getattr(found["queue"], "name", found["queue"])
    if found["queue"] == own_queue:  # events must not go there, and the ready app's default is this
        del found["queue"]
    return {name: value for name, value in found.items() if value is not None and not SETTINGS[name].problem(value)}


def options_left_out(app: Celery, settings: ClientSettings, given: Mapping[str, Any]) -> Iterator[str]:
    """Say which options of a client's task do not go along with its events, and which do not fit the client.

    Args:
        app: The app; of a task that it does not know there is nothing to say.
        settings: The client's.
        given: What was asked for now: it is meant to differ from the app's.
    """
    task = app.tasks.get(settings.task)
    if task is None:
        return
    if expires := getattr(task, "expires", None):
        yield (
            f"task {task.name} has expires={expires}, and its events are sent without: "
            "an expired message is never answered"
        )
    limits = [getattr(task, name, None) or 0 for name in ("time_limit", "soft_time_limit")]
    limit, lease = max(limits), settings.ack_timeout_seconds
    if settings.time_limit_seconds == settings.soft_time_limit_seconds == 0 and limit >= lease:
        yield (
            f"task {task.name} may run for {limit:g} s, and the lease of client {settings.id} ends after {lease:g}: "
            f"its event would go out again meanwhile: `eventbridge register {settings.id} --ack-timeout SECONDS`"
        )
    queue = options_of(task, app).get("queue", settings.queue)
    if queue != settings.queue and "queue" not in given:
        yield (
            f"task {task.name} is sent to queue {queue!r} by its app, and the events of client {settings.id} go to "
            f"{settings.queue!r}: `eventbridge register {settings.id} --queue {queue}` lets them follow"
        )

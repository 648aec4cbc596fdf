"""Ask the workers of a broker how they are set, by remote control: what they consume, know, accept, and when they ack.

The configuration of a worker is asked for as Flower does. Celery masks passwords in it; a few settings are kept, and
the rest is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection

from bridge.broker.asking import ask_all

ITEMS = ("acks_late", "reject_on_worker_lost", "time_limit", "rate_limit")
ITEM = re.compile(r"(\w+)=(\S+)")


class TaskSeen(NamedTuple):
    """How a worker runs a task.

    Attributes:
        acks_late: Whether it acknowledges a message after the task, and not before.
        comes_back: Whether the message of a task whose process dies goes back to the queue, at once and each time.
        time_limit: After how many seconds the worker kills it; None: the worker's own limit.
    """

    acks_late: bool
    comes_back: bool
    time_limit: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """What one worker says.

    Attributes:
        name: Of its node, such as `celery@host`.
        queues: That it consumes.
        tasks: That it knows; None if it did not answer that question.
        accept_content: The serializers that it takes; None if it did not answer.
        time_limit: After how many seconds it kills a task that has no limit of its own; None: never.
        visibility_timeout_seconds: The transport option; None where it is not set.
        told: Whether it told its configuration.
    """

    name: str
    queues: frozenset[str]
    tasks: Mapping[str, TaskSeen] | None = None
    accept_content: tuple[str, ...] | None = None
    time_limit: float | None = None
    visibility_timeout_seconds: float | None = None
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSeen:
    """The workers that answered; those without remote control never do."""

    workers: tuple[WorkerSeen, ...] = field(default=())

    def consumers(self, *queues: str) -> list[WorkerSeen]:
        """Return the workers that consume one of these queues."""
        return [it for it in self.workers if it.queues & set(queues)]


def ask_fleet(app: Celery, connection: Connection, *, seconds: float) -> FleetSeen:
    """Ask all workers; it changes nothing.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker, and made for this one question.
        seconds: How long to wait for the answers to the first question; the others wait for as many answers.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    queues = ask_all(app, connection, "active_queues", {}, seconds=seconds, limit=None)
    most = len(queues)
    arguments = {"taskinfoitems": list(ITEMS), "builtins": True}
    tasks = dict(ask_all(app, connection, "registered", arguments, seconds=seconds, limit=most))
    told = dict(ask_all(app, connection, "conf", {"with_defaults": True}, seconds=seconds, limit=most))
    return FleetSeen(workers=tuple(_worker(name, theirs, tasks.get(name), told.get(name)) for name, theirs in queues))


def answers_ping(app: Celery, connection: Connection, *, worker: str, seconds: float) -> bool:
    """Tell whether the worker of this name answers."""
    found = ask_all(app, connection, "ping", {}, seconds=seconds, limit=None, workers=[worker])
    return any(name == worker for name, _ in found)


def _worker(name: str, queues: Any, tasks: Any, told: Any) -> WorkerSeen:
    """Read what a worker says; an old one, or one that lies, may say anything."""
    conf = told if isinstance(told, Mapping) else {}
    options = conf.get("broker_transport_options")
    accepted = conf.get("accept_content")
    return WorkerSeen(
        name=name,
        queues=frozenset(str(it["name"]) for it in queues or () if isinstance(it, Mapping) and "name" in it),
        tasks=dict(map(_task, tasks)) if isinstance(tasks, Sequence) else None,
        accept_content=tuple(map(str, accepted)) if isinstance(accepted, list | tuple) else None,
        time_limit=_seconds(conf.get("task_time_limit")),
        visibility_timeout_seconds=_seconds(options.get("visibility_timeout")) if isinstance(options, dict) else None,
        told=bool(conf),
    )


def _task(entry: object) -> tuple[str, TaskSeen]:
    """Read `name [acks_late=True time_limit=30]`."""
    name, _, rest = str(entry).partition(" [")
    items = dict(ITEM.findall(rest.removesuffix("]")))
    return name, TaskSeen(
        acks_late=items.get("acks_late") == "True",
        comes_back=items.get("reject_on_worker_lost") == "True",
        time_limit=_seconds(items.get("time_limit")),
    )


def _seconds(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None

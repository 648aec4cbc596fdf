"""The base of the tasks that beat starts: they run again and again, and are seen and heard when they did something.

Celery says four things of every run: two lines in the log, and the events of which Flower makes a row. A pump that runs
day and night would fill both. Its lines have the level DEBUG here; its events are sent by `QuietRequest`, for a run
that handed something over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.app.trace import LOG_RECEIVED, LOG_SUCCESS

from bridge.broker.own_task import OwnTask, publish_own
from bridge.broker.transports import bounded
from bridge.trouble import Trouble

PERIODIC = frozenset({"bridge.pump", "bridge.prune"})  # a test holds them to `contract`, which is above this room
BEATS_LOGGER = "celery.beat"
CELERYS_LOGGERS = ("celery.worker.strategy", "celery.app.trace", BEATS_LOGGER)
# A trace that is not sampled: Sentry makes no transaction of a tick then, unless a `traces_sampler` says otherwise. Its
# integration reads the headers inside of the headers.
_TRACE = {"sentry-trace": "b71d9e0000000000000000000000c10c-b71d9e000000c10c-0"}
UNSAMPLED: Mapping[str, object] = {**_TRACE, "headers": _TRACE, "sentry-propagate-traces": False}


_away = Trouble(
    logging.getLogger("bridge"), what="beat can't send the pump's ticks", over="beat sends the pump's ticks again"
)


class NoEvents:
    """Stands for an event dispatcher: no task-sent event is published, whatever the app sets for its own tasks."""

    def publish(self, *_: Any, **__: Any) -> None:
        """Publish nothing."""


class PeriodicTask(OwnTask):
    """A task of the bridge that beat starts."""

    abstract = True
    Request = "bridge.broker.internals.requests:QuietRequest"

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Publish a call as Celery does, but without a task-sent event."""
        headers = {**UNSAMPLED, **(options.pop("headers", None) or {})}
        sent = super().apply_async(*args, **{**options, "headers": headers, "event_dispatcher": NoEvents()})
        _away.back()
        return sent


def publish_tick(
    app: Celery, task: str, *, queue: str, why: str, expiration_seconds: float, connect_timeout_seconds: float
) -> None:
    """Publish one call of a periodic task, beside those of beat.

    Args:
        app: Its broker takes the call.
        task: Name of the task.
        queue: Name of a queue that is there.
        why: The task's argument.
        expiration_seconds: After which RabbitMQ drops it.
        connect_timeout_seconds: How long to wait for each answer of the broker.

    Raises:
        OSError, or one of the broker's errors: nothing is known of it.
    """
    seconds = connect_timeout_seconds
    options = bounded(app, socket_timeout=seconds, socket_connect_timeout=seconds)
    connection = app.connection_for_write(transport_options=options, connect_timeout=seconds)
    with connection, connection.Producer() as producer:
        publish_own(
            app, producer, task, [why], queue=queue, shown=why, headers=UNSAMPLED, expiration=expiration_seconds
        )


class TickLines(logging.Filter):
    """Gives Celery's lines on each run of a periodic task the level DEBUG; other lines stay as they are.

    While the broker is away, beat has a traceback and its own stack for each tick. A line a minute takes their place.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be logged."""
        if record.levelno == logging.ERROR and (why := why_unsent(record)):
            _away.went(why)
            return False
        if record.levelno != logging.INFO or not is_about_a_tick(record):
            return True
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def why_unsent(record: logging.LogRecord) -> str:
    """Return why beat could not send a periodic task; an empty text where the record is about anything else."""
    if record.name != BEATS_LOGGER or not isinstance(record.args, tuple) or not record.args:
        return ""
    from celery.beat import SchedulingError  # only now: a worker without a beat needs none of it

    error = record.args[0]
    ours = isinstance(error, SchedulingError) and any(f" task {name}: " in str(error) for name in PERIODIC)
    return str(error).partition(": ")[2] or "no reason is given" if ours else ""


def is_about_a_tick(record: logging.LogRecord) -> bool:
    """Tell whether Celery says that it sent, received or ran a periodic task; a failure is no such line."""
    if record.name == BEATS_LOGGER:
        return isinstance(record.args, tuple) and bool(PERIODIC.intersection(map(str, record.args)))
    data = getattr(record, "data", None)
    return record.msg in (LOG_RECEIVED, LOG_SUCCESS) and isinstance(data, dict) and data.get("name") in PERIODIC


_tick_lines = TickLines()


def quieten() -> None:
    """Filter Celery's lines in this process, and in those that it forks; once, however often this is called."""
    for name in CELERYS_LOGGERS:
        logging.getLogger(name).addFilter(_tick_lines)

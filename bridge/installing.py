"""Put the bridge into a Celery app: its tasks, its workers' steps, its signal handlers, and its beat entries.

Importing `bridge` changes nothing in the host's process. The docstring of `install` lists everything that it adds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from celery.schedules import schedstate, schedule
from celery.signals import beat_init, celeryd_init

from bridge.broker.internals.workers import mask, real_app
from bridge.contract import BEAT_HEADER, PRUNE, PUMP
from bridge.errors import ConfigurationError
from bridge.settings.bridge import PREFIX, SECRET, BridgeSettings

EARLY_SECONDS = 0.02
PRUNE_INTERVAL_SECONDS = 10.0
SET_SECONDS = 1.0  # a clock that changes by less is being adjusted, and nobody waits for it


def install(app: Celery) -> None:
    """Add the bridge to a Celery app. Workers of the app that consume the bridge's queue are then bridge workers.

    It adds to the app: the tasks `bridge.pump`, `prune`, `commit`, `fail` and `settle`; a beat entry that runs the
    pump, and where `bridge_keep` or `bridge_log_limit` is set one that runs `bridge.prune`; an option of `celery
    worker` (`--log-format`); steps of a worker (`StartCheck`, `StopTicks`, `OldMessages`, `Metrics`, `WriteLog`) and
    steps of its consumer (`Collector`, `FailureEvents`, `Guard`, `JoinedAcks`, `LostMessages`, `FirstTick`,
    `LagWatch`). Each step does something only where it is needed. In a worker that can reach the log, `OldMessages`
    puts a comparison before the tasks' own `before_start`. In a bridge worker and in beat, a filter of Celery's loggers
    gives the lines about the pump's ticks the level DEBUG, and puts a line a minute in the place of a traceback for
    each tick that beat can't send. What Celery waits for there on Redis gets bounds, where the app's
    `broker_transport_options` have none. For clients that report in-process, it connects to the process' signals
    `task_success` and `task_failure`, and goes before the result backends' `mark_as_done` and `mark_as_failure`. It
    connects to `beat_init` and `celeryd_init`, too. The tasks are shared tasks, so every other app of the process knows
    them. Calling it again changes nothing.

    Args:
        app: An app, configured now or later; of Celery's `current_app`, the app that is current now.
    """
    import bridge.tasks  # noqa: F401 - the tasks are shared: importing them adds them to every app of this process
    from bridge.collector.events import FailureEvents
    from bridge.collector.guard import Guard
    from bridge.collector.step import Collector
    from bridge.metrics.step import Metrics
    from bridge.observe.log_format import LOG_FORMAT, WriteLog
    from bridge.pump.ready import FirstTick
    from bridge.pump.stopping import StopTicks
    from bridge.watch.lag import LagWatch
    from bridge.watch.step import LostMessages
    from bridge.worker import in_process
    from bridge.worker.acks import JoinedAcks
    from bridge.worker.old_messages import OldMessages
    from bridge.worker.start_check import StartCheck

    app = real_app(app)
    for name in SECRET:
        mask(PREFIX + name)
    app.steps["worker"].update((StartCheck, StopTicks, OldMessages, Metrics, WriteLog))
    app.user_options["worker"].add(LOG_FORMAT)
    app.steps["consumer"].update((Collector, FailureEvents, Guard, JoinedAcks, LostMessages, FirstTick, LagWatch))
    in_process.connect()
    app.on_after_finalize.connect(_schedule_pump)
    app.on_after_configure.connect(_schedule_pump_again)
    beat_init.connect(_schedule_pump_in_beat)
    celeryd_init.connect(_check_transport)
    if app.finalized:
        _schedule_pump(app)


def _schedule_pump(sender: Celery, **_: Any) -> None:
    """Add the pump to the app's beat schedule, beside the app's own entries.

    A setting that can't be used is no trouble of whoever happens to finalize the app: a worker and a beat say so when
    they start, and the bridge wherever it is used.
    """
    try:
        entry = beat_entry(BridgeSettings.read(sender.conf, os.environ))
    except ConfigurationError:
        return
    sender.conf.beat_schedule = {**(sender.conf.beat_schedule or {}), **entry}


def _schedule_pump_again(sender: Celery, **_: Any) -> None:
    """Add the pump anew where an app gets another configuration, with a schedule of its own, after it was finalized."""
    if sender.finalized:
        _schedule_pump(sender)


def _schedule_pump_in_beat(sender: Any, **_: Any) -> None:
    """Let beat's log be quiet about the pump, and add the pump to a beat that starts without it.

    Such a beat's app got another schedule after it was finalized.
    """
    from bridge.broker.periodic import quieten
    from bridge.broker.transports import bound_celery
    from bridge.observe.log_format import use
    from bridge.worker.start_check import StartCheck, end_without

    if StartCheck in sender.app.steps["worker"]:
        end_without(sender.app, what="beat")
        bound_celery(sender.app)
    quieten()
    use(BridgeSettings.read(sender.app.conf, os.environ).log_format)
    if StartCheck in sender.app.steps["worker"] and PUMP not in sender.scheduler.schedule:
        sender.scheduler.update_from_dict(beat_entry(BridgeSettings.read(sender.app.conf, os.environ)))


def _check_transport(instance: Any, options: Mapping[str, Any], **_: Any) -> None:
    """End a worker that can't start in one line, and not with a traceback: a package is missing, a setting is wrong.

    One that consumes nothing but the bridge's queue goes on without the app's result backend.
    """
    from bridge.broker.internals.backends import keep_aside
    from bridge.worker.start_check import StartCheck, end_without

    if StartCheck in instance.app.steps["worker"]:
        end_without(instance.app)
        queues = options.get("queues") or ()
        queues = queues.split(",") if isinstance(queues, str) else queues
        if set(queues) == {BridgeSettings.read(instance.app.conf, os.environ).queue}:
            keep_aside(instance.app)


class Every(schedule):
    """An interval that ends a little early, and that no change of the clock makes longer.

    Beat wakes 10 ms before an entry is due and asks again and again until it is: once a second, that costs 1 % of a
    core. Celery up to 5.6 subtracts local times, so at the end of daylight saving an interval lasts an hour longer.
    Here times are compared in UTC, and an end that lies further ahead than the interval is long is no end to wait for:
    the clock was set back.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether the interval is over, and in how many seconds to ask again."""
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left <= min(EARLY_SECONDS, self.seconds / 10) or left > 2 * self.seconds:
            return schedstate(True, self.seconds)
        return schedstate(False, min(left, self.seconds))

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long the interval still lasts."""
        return self._utc(last_run_at) + timedelta(seconds=self.seconds) - self._utc(self.now())

    def _utc(self, moment: datetime) -> datetime:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)

    def __eq__(self, other: object) -> bool:
        """Compare with another schedule, and with none after the clock was set.

        Beat keeps the times at which its entries are due, its own clock's, and works them out anew when an entry is no
        longer what it was. Otherwise nothing at all would be started for the hour by which its clock was set back.
        """
        return bool(super().__eq__(other)) and not _clock_was_set()

    __hash__ = None  # type: ignore[assignment] # as that of every schedule


_clock = [time.time() - time.monotonic()]  # of this process; each change of the difference is noticed once


def _clock_was_set() -> bool:
    """Tell whether this machine's clock was set back since the last call, or forward."""
    before, _clock[0] = _clock[0], time.time() - time.monotonic()
    return abs(_clock[0] - before) > SET_SECONDS


def beat_entry(settings: BridgeSettings) -> dict[str, dict[str, Any]]:
    """Make the beat entries: the pump's, and the pruner's where there is something for it to do.

    A tick has an expiry that the broker keeps by its own clock (RabbitMQ), and none that a worker compares with its
    clock (`expires`): a beat that is some seconds behind the worker would have all of its ticks revoked.
    """
    entries = {PUMP: _entry(PUMP, settings.interval_seconds, settings.queue)}
    if settings.keep or settings.log_limit:
        entries[PRUNE] = _entry(PRUNE, PRUNE_INTERVAL_SECONDS, settings.queue)
    return entries


def _entry(task: str, seconds: float, queue: str) -> dict[str, Any]:
    return {
        "task": task,
        "schedule": Every(seconds),
        "options": {
            "queue": queue,
            "expiration": max(1.0, seconds * 2),
            "ignore_result": True,
            "headers": {BEAT_HEADER: True},
        },
    }

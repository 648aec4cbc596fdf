"""Put the bridge into a Celery app: its tasks, its workers' steps, its signal handlers, and the beat entry of the pump.

Importing `bridge` changes nothing in the host's process. The docstring of `install` lists everything that it adds.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from celery import Celery
from celery.schedules import schedstate, schedule

from bridge.broker.kombu_internals import real_app
from bridge.contract import PUMP
from bridge.settings.bridge import BridgeSettings

EARLY_SECONDS = 0.02


def install(app: Celery) -> None:
    """Add the bridge to a Celery app. Workers of the app that consume the bridge's queue are then bridge workers.

    It adds to the app: the tasks `bridge.pump`, `commit`, `fail` and `settle`; a beat entry that runs the pump; two
    steps of a worker's consumer, of which each starts only where it is needed (`Collector`, `JoinedAcks`); and a step
    of the worker that tells its ticks of a shutdown (`StopTicks`). It connects to the process' signals `task_success`
    and `task_failure`, for clients that report in-process. The tasks are shared tasks, so every other app of the
    process knows them, too. Calling it again changes nothing.

    Args:
        app: An app, configured now or later; of Celery's `current_app`, the app that is current now.
    """
    import bridge.tasks  # noqa: F401 - the tasks are shared: importing them adds them to every app of this process
    from bridge.collector.step import Collector
    from bridge.pump.stopping import StopTicks
    from bridge.worker import in_process
    from bridge.worker.acks import JoinedAcks

    app = real_app(app)
    app.steps["consumer"].update((Collector, JoinedAcks))
    app.steps["worker"].add(StopTicks)
    in_process.connect()
    app.on_after_finalize.connect(_schedule_pump)
    app.on_after_configure.connect(_schedule_pump_again)
    if app.finalized:
        _schedule_pump(app)


def _schedule_pump(sender: Celery, **_: Any) -> None:
    """Add the pump to the app's beat schedule, beside the app's own entries."""
    entry = beat_entry(BridgeSettings.read(sender.conf, os.environ))
    sender.conf.beat_schedule = {**(sender.conf.beat_schedule or {}), **entry}


def _schedule_pump_again(sender: Celery, **_: Any) -> None:
    """Add the pump anew where an app gets another configuration, with a schedule of its own, after it was finalized."""
    if sender.finalized:
        _schedule_pump(sender)


class Every(schedule):
    """An interval that ends a little early.

    Beat wakes 10 ms before an entry is due and asks again and again until it is: once a second, that costs 1 % of a
    core.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether the interval is over, and in how many seconds to ask again."""
        state = super().is_due(last_run_at)
        if not state.is_due and state.next <= min(EARLY_SECONDS, self.seconds / 10):
            return schedstate(True, self.seconds)
        return state


def beat_entry(settings: BridgeSettings) -> dict[str, dict[str, Any]]:
    """Make the beat entry of the pump. A tick that no worker takes in time expires, so ticks never pile up."""
    return {
        PUMP: {
            "task": PUMP,
            "schedule": Every(settings.interval_seconds),
            "options": {
                "queue": settings.queue,
                "expires": max(1.0, settings.interval_seconds * 2),
                "ignore_result": True,
            },
        }
    }

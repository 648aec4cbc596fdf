"""What installing adds to an app, what importing does not, and that beat starts the pump once an interval."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, current_app
from celery.schedules import schedule

import bridge
from bridge.app import bridge_of
from bridge.installing import EARLY_SECONDS, Every

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def every(seconds: float) -> Every:
    return Every(seconds, nowfun=lambda: NOW, app=Celery(set_as_current=False))


@pytest.mark.parametrize(
    ("ago", "due", "next"),
    [(0.5, False, 0.5), (0.97, False, 0.03), (0.99, True, 1.0), (1.0, True, 1.0), (9.0, True, 1.0)],
)
def test_an_interval_is_over_where_beat_would_spin_for_its_end(ago: float, due: bool, next: float) -> None:
    state = every(1.0).is_due(NOW - timedelta(seconds=ago))
    assert state.is_due is due
    assert state.next == pytest.approx(next)


def test_beat_wakes_before_the_end_and_no_earlier_than_that_is_taken_for_it() -> None:
    from celery.beat import Scheduler

    early = -Scheduler(Celery(set_as_current=False), lazy=True).adjust(1.0) + 1.0
    assert 0 < early < EARLY_SECONDS


def test_an_interval_is_one_for_every_scheduler_and_can_be_kept_on_disk() -> None:
    kept = pickle.loads(pickle.dumps(Every(2)))
    assert isinstance(kept, schedule)
    assert kept == schedule(2)
    assert isinstance(kept, Every)


# Each statement runs in a process of its own, between two looks at what the host process would notice.
LOOK = """
import atexit, signal, sys, threading
from celery import Celery, signals

def receivers():
    return {name: len(it.receivers or ()) for name, it in vars(signals).items() if hasattr(it, "receivers")}

def handlers():
    return [signal.getsignal(number) for number in signal.valid_signals()]

registered = []
register, atexit.register = atexit.register, lambda function, *args, **kwargs: registered.append(function.__module__)
before = receivers(), handlers(), threading.enumerate()
%s
assert (receivers(), handlers(), threading.enumerate()) == before, receivers()
assert [name for name in registered if name.startswith("bridge")] == [], registered
assert [name for name in Celery("other").tasks if name.startswith("bridge")] == []
loaded = [name for name in sys.modules if name.startswith("celery.worker")]  # tasks load a part of it, in any app
assert "celery.worker.consumer" not in loaded, loaded
"""


def run(source: str) -> str:
    """Run Python code in a process of its own; return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_import_changes_nothing_in_the_host_s_process() -> None:
    everything = "import bridge, bridge.app, bridge.worker.outbox, bridge.worker.in_process, bridge.sender.sender"
    assert run(LOOK % "import bridge") == run(LOOK % everything) == ""


def test_a_publisher_that_installs_the_bridge_loads_nothing_of_a_worker() -> None:
    source = """
import sys
from celery import Celery
plain = Celery(set_as_current=False)
plain.finalize()
before = set(sys.modules)
import bridge
app = Celery(broker="memory://")
bridge.install(app)
app.finalize()
print([name for name in set(sys.modules) - before if name.startswith("celery.worker")])
"""
    assert run(source) == "[]\n"


def test_installing_adds_what_it_says_and_a_second_time_nothing() -> None:
    with Celery("shop", set_as_current=False) as app:
        app.conf.beat_schedule = {"mine": {"task": "shop.mine", "schedule": 60}}

        def added() -> tuple[object, ...]:
            steps = sorted(step.__name__ for of in ("worker", "consumer") for step in app.steps[of])
            receivers = len(app.on_after_finalize.receivers), len(app.on_after_configure.receivers)
            return steps, receivers, sorted(app.conf.beat_schedule), [name for name in app.tasks if "bridge." in name]

        bridge.install(app)
        app.finalize()
        first = added()
        bridge.install(app)
        assert added() == first
        steps, _, schedule, tasks = first
        names = [
            "Collector",
            "FailureEvents",
            "FirstTick",
            "Guard",
            "JoinedAcks",
            "LagWatch",
            "LostMessages",
            "Metrics",
            "OldMessages",
            "StartCheck",
            "StopTicks",
            "WriteLog",
        ]
        assert steps == names
        assert schedule == ["bridge.pump", "mine"]
        names = [f"bridge.{name}" for name in ("commit", "fail", "prune", "pump", "settle")]
        assert sorted(tasks) == names  # type: ignore[call-overload]


def configure_before(app: Celery) -> None:
    app.config_from_object({"bridge_queue": "b", "imports": ("json",)})
    bridge.install(app)


def configure_after(app: Celery) -> None:
    bridge.install(app)
    app.config_from_object({"bridge_queue": "b", "imports": ("json",)})


def configure_after_the_tasks_were_used(app: Celery) -> None:
    bridge.install(app)
    assert "bridge.pump" in app.tasks  # finalizes the app
    app.config_from_object({"bridge_queue": "b", "beat_schedule": {"mine": {"task": "shop.mine", "schedule": 60}}})


def install_last(app: Celery) -> None:
    assert "bridge.pump" not in [name for name in app.tasks if name == "shop.mine"]
    app.conf.bridge_queue = "b"
    bridge.install(app)


@pytest.mark.parametrize(
    "prepare", [configure_before, configure_after, configure_after_the_tasks_were_used, install_last]
)
def test_beat_finds_the_pump_however_late_the_app_is_configured(prepare: Callable[[Celery], None]) -> None:
    from celery.beat import Scheduler

    with Celery("shop", set_as_current=False) as app:
        prepare(app)
        app.finalize()  # as `celery beat` does, which imports no task and starts no step
        assert app.conf.beat_schedule["bridge.pump"]["options"]["queue"] == "b"
        entries = Scheduler(app, lazy=True).merge_inplace(app.conf.beat_schedule)
        assert entries is None


def test_g10_beat_starts_the_pump_where_the_schedule_was_replaced_after_the_app_was_finalized() -> None:
    from celery.beat import Scheduler, Service
    from celery.signals import beat_init

    with Celery("other", set_as_current=False) as other, Celery("shop", set_as_current=False) as app:
        bridge.install(app)
        found = []
        for it in (app, other):
            it.finalize()
            it.conf.beat_schedule = {"mine": {"task": "shop.mine", "schedule": 60}}
            beat = Service(it, scheduler_cls=Scheduler)
            beat_init.send(sender=beat)
            found.append({"mine", "bridge.pump"} & set(beat.scheduler.schedule))
        assert found == [{"mine", "bridge.pump"}, {"mine"}]


def test_a_bridge_that_is_installed_in_current_app_stays_with_the_app_that_was_current_then() -> None:
    with Celery("first") as first:
        bridge.install(current_app)
        assert bridge_of(current_app) is bridge_of(first)
    with Celery("second") as second:
        first.finalize()
        second.finalize()
        assert "bridge.pump" in first.conf.beat_schedule
        assert "bridge.pump" not in (second.conf.beat_schedule or {})

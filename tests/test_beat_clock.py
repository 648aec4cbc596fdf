"""The pump's beat entry over changes of the clock: daylight saving, and a clock that somebody sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from redis import Redis

from bridge.demo.process import Process, inherited
from bridge.installing import EARLY_SECONDS, Every
from tests.support.clocks import WrongClock
from tests.support.old_celery import OLDEST, old_python, overlaid
from tests.support.waiting import wait_until

PATIENT_SECONDS = 60.0
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran"]

# All that matters of the table below, on another Celery: the hour that comes twice.
ON_ANOTHER_CELERY = """
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
from celery import Celery, __version__
from bridge.installing import Every
assert __version__ == sys.argv[1], __version__
app = Celery("shop", broker="memory://", set_as_current=False)
app.conf.timezone = "Europe/Berlin"
zone, end = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 1, tzinfo=timezone.utc)
for before in (0.2, 0.6, 3000):
    for after in (0.1, 0.5, 0.9, 3000):
        last, now = end - timedelta(seconds=before), end + timedelta(seconds=after)
        it = Every(1.0, nowfun=lambda: now.astimezone(zone), app=app)
        found = it.is_due(last.astimezone(zone))
        assert found.is_due is (before + after > 0.99), (before, after, found)
        assert found.next <= 1.0, (before, after, found)
"""


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """The instants of two years at which the zone's distance from UTC changes, and one at which it does not."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    yield at
    for _ in range(2 * 365 * 24):
        before, at = at, at + timedelta(hours=1)
        if before.astimezone(zone).utcoffset() != at.astimezone(zone).utcoffset():
            yield at


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 60.0])
def test_g10_an_interval_is_as_long_as_ever_when_daylight_saving_begins_or_ends(name: str, seconds: float) -> None:
    zone, early = ZoneInfo(name), min(EARLY_SECONDS, seconds / 10)
    with Celery(set_as_current=False) as app:
        for change in changes(zone):
            for began in (-2 * seconds, -seconds, -seconds / 2, 0.0, seconds / 3):
                for ago in (0.0, seconds / 2, seconds - 2 * early, seconds - early / 2, seconds, 3 * seconds, 7200.0):
                    last = change + timedelta(seconds=began)
                    now = last + timedelta(seconds=ago)
                    for seen in (last.astimezone(zone), last, last.replace(tzinfo=None)):
                        it = Every(seconds, nowfun=lambda now=now: now.astimezone(zone), app=app)
                        found = it.is_due(seen)
                        assert found.is_due is (ago > seconds - early), (change, began, ago, seen)
                        assert 0 < found.next <= seconds


@pytest.mark.parametrize("hours", [-24 * 365, -1, 1, 24 * 365])
def test_g10_an_interval_ends_at_once_where_the_clock_was_set_by_more_than_it(hours: int) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    with Celery(set_as_current=False) as app:
        it = Every(1.0, nowfun=lambda: now + timedelta(hours=hours), app=app)
        assert it.is_due(now) == (True, 1.0)


@pytest.mark.slow
def test_g10_the_oldest_celery_is_as_silent_about_daylight_saving(request: pytest.FixtureRequest) -> None:
    environment = overlaid(old_python(OLDEST, request.config))
    command = [sys.executable, "-c", ON_ANOTHER_CELERY, OLDEST]
    done = run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# A real beat ---------------------------------------------------------------------------------------------------------

SHOP = """
from celery import Celery
import bridge
app = Celery("shop")
app.conf.beat_schedule = {f"mine-{n}": {"task": "shop.mine", "schedule": 20.0 + n} for n in range(5)}
bridge.install(app)
"""


@contextmanager
def beat(app: str, directory: Path, env: dict[str, str]) -> Iterator[Process]:
    """Run a beat of its own."""
    command = [sys.executable, "-m", "celery", "-A", app, "beat", "--schedule", str(directory / "schedule")]
    process = Process(
        "beat",
        [*command, "--loglevel", "INFO", "--pidfile="],
        log_path=directory / "beat.log",
        directory=directory,
        environment={**inherited(), "PYTHONUNBUFFERED": "1", **env},
    )
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("app", "hours"),
    [
        ("bridge", -1),
        pytest.param("shop", 1, marks=pytest.mark.slow),
        pytest.param("bridge", 1, marks=pytest.mark.slow),
        pytest.param("shop", -1, marks=pytest.mark.slow),
    ],
)
def test_g10_beat_goes_on_when_its_clock_is_set(redis_url: str, tmp_path: Path, app: str, hours: int) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    clock = WrongClock(tmp_path / "clock", 0)
    environment = {
        **clock.env,
        "CELERY_BROKER_URL": redis_url,
        "BRIDGE_INTERVAL_SECONDS": "1",
        "BRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
    }
    with beat(app, tmp_path, environment), Redis.from_url(redis_url) as redis:

        def ticks() -> int:
            return int(redis.llen("bridge"))

        wait_until(lambda: ticks() >= 2, timeout=PATIENT_SECONDS, what="beat sends ticks")
        clock.set(hours * 3600)
        before = ticks()
        wait_until(lambda: ticks() >= before + 4, timeout=PATIENT_SECONDS, what="beat goes on")

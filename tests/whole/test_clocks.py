"""Beat, worker and Postgres each have a clock of their own, and none of them is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from tests.conftest import StartWorker
from tests.support.clocks import WrongClock
from tests.support.waiting import wait_until
from tests.support.world import World
from tests.test_beat_clock import PATIENT_SECONDS, beat


@pytest.mark.parametrize(
    ("beats", "workers"),
    [pytest.param(-5, 0, marks=pytest.mark.slow), pytest.param(-3600, 3600, marks=pytest.mark.slow), (3600, -3600)],
)
def test_g10_events_are_handed_over_whatever_the_clocks_say(
    world: World, worker: StartWorker, tmp_path: Path, *, database: str, redis_url: str, beats: int, workers: int
) -> None:
    world.client()
    often = {"BRIDGE_INTERVAL_SECONDS": "1", "BRIDGE_LINGER_SECONDS": "0"}
    env = {"CELERY_BROKER_URL": redis_url, "BRIDGE_DATABASE_URL": database, **often}
    wrong = WrongClock(tmp_path / "worker's", workers).env
    worker("bridge", directory=tmp_path, queues=["bridge"], env={**env, **wrong}, name="bridge")
    with (
        Redis.from_url(redis_url) as redis,
        beat("bridge", tmp_path, {**env, **WrongClock(tmp_path / "beat's", beats).env}),
    ):
        for number in (1, 2, 3):
            world.publish(None)
            wait_until(
                lambda number=number: redis.llen("celery") == number,  # type: ignore[misc]
                timeout=PATIENT_SECONDS,
                what=f"event {number} is handed over",
            )
        if workers:
            said = "SELECT clock_ahead_seconds FROM fq.turns WHERE name = 'tick'"
            ahead = world.eyes.execute(said).fetchone()
            assert ahead is not None and abs(ahead[0] - workers) < 600

"""Messages that are lost are found without anybody asking, and nothing that somebody holds is doubled (G1, G6, G10)."""

from __future__ import annotations

import pytest
from kombu import Connection

from tests.support.fleets import offsets
from tests.support.stage import Stage
from tests.support.waiting import wait_until

EVENTS = 30
LONG = 60.0  # the deadline of a wait: far below any lease, far above what it takes


@pytest.fixture
def stage(stage_without_fleet: Stage) -> Stage:
    return stage_without_fleet


@pytest.mark.parametrize(
    "stage_without_fleet", ["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)], indirect=True
)
def test_g1_a_queue_that_was_purged_is_found_and_each_event_runs_once(stage: Stage) -> None:
    stage.client("purged", max_attempts=1)
    for nth in range(EVENTS):
        stage.publish("purged.event", {"number": nth}, key=f"k{nth % 10}")
    stage.bridge()
    wait_until(lambda: stage.ask("SELECT count(*) FROM fq.deliveries") == 10, timeout=LONG, what="they are out")
    with Connection(stage.broker_url) as broker, broker.channel() as channel:
        wait_until(lambda: channel.queue_purge("fleet"), timeout=LONG, what="their messages are lost")
    stage.fleet()
    stage.wait_until_done("purged")
    assert sorted(offsets(stage.handled())) == list(range(1, EVENTS + 1)), "once each, in spite of max_attempts = 1"
    assert stage.ask("SELECT count(*) FROM fq.parked") == 0
    assert stage.ask("SELECT action FROM fq.journal WHERE action <> 'register'") == "recall"

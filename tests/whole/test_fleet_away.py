"""The fleet is away for longer than any lease: nothing is parked, nothing is sent twice (G10), on both brokers."""

from __future__ import annotations

import pytest
from kombu import Connection

from tests.support.fleets import offsets
from tests.support.stage import Stage
from tests.support.waiting import wait_until

MAX_ATTEMPTS, WINDOW, EVENTS = 2, 30, 90
RENEWED = "SELECT bool_and(due_at > now() AND waited_at IS NOT NULL) FROM fq.deliveries"


@pytest.fixture
def stage(stage_without_fleet: Stage) -> Stage:
    return stage_without_fleet


def test_g10_after_the_fleet_s_return_each_event_runs_once_and_keys_are_in_order(stage: Stage) -> None:
    stage.client("away", ack_timeout_seconds=600, max_attempts=MAX_ATTEMPTS, window=WINDOW)
    for nth in range(EVENTS):
        stage.publish("away.event", {"number": nth}, key=f"k{nth % 40}")
    stage.bridge()
    wait_until(lambda: stage.ask("SELECT count(*) FROM fq.deliveries") == WINDOW, timeout=60, what="a full window")
    for _ in range(MAX_ATTEMPTS + 2):
        stage.eyes.execute("UPDATE fq.deliveries SET waited_at = NULL, behind = NULL")
        stage.end_leases("away")
        wait_until(lambda: stage.ask(RENEWED), timeout=60, what="every lease is renewed")
    assert stage.ask("SELECT max(attempt) FROM fq.deliveries") == 1
    assert stage.ask("SELECT count(*) FROM fq.parked") == 0
    stage.fleet()
    stage.wait_until_done("away")
    handled = offsets(stage.handled())
    assert sorted(handled) == list(range(1, EVENTS + 1)), "once each"
    assert {note["id"] for note in stage.handled()} == {f"away:{offset}" for offset in handled}, "first attempts"
    assert stage.ask("SELECT count(*) FROM fq.parked") == 0


def test_g10_a_message_that_is_lost_goes_out_again_although_others_wait(stage: Stage) -> None:
    stage.client("lossy", ack_timeout_seconds=600, ordering="none", window=4)
    stage.bridge()
    lost = stage.publish("lossy.event")
    wait_until(lambda: stage.ask("SELECT count(*) FROM fq.deliveries") == 1, timeout=60, what="it is handed over")
    with Connection(stage.broker_url) as broker, broker.channel() as channel:
        wait_until(lambda: channel.queue_purge("fleet"), timeout=60, what="its message is lost")
    others = [stage.publish("lossy.event") for _ in range(2)]
    wait_until(lambda: stage.ask("SELECT count(*) FROM fq.deliveries") == 3, timeout=60, what="all are handed over")
    stage.eyes.execute('UPDATE fq.deliveries SET due_at = now() WHERE "offset" = %s', [lost])
    stage.eyes.execute("UPDATE fq.clients SET wake_at = now()")
    again = 'SELECT attempt FROM fq.deliveries WHERE "offset" = %s'
    wait_until(lambda: stage.ask(again, lost) == 2, timeout=60, what="the queue is as short as what was sent after it")
    stage.fleet()
    stage.wait_until_done("lossy")
    assert sorted(offsets(stage.handled())) == sorted([lost, *others])
    [note] = [note for note in stage.handled() if note["args"][0]["offset"] == lost]
    assert note["id"] == f"lossy:{lost}:a2"

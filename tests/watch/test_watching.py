"""The watch on real brokers: what is lost goes out again, and nothing that somebody holds is doubled (G1, G6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from bridge.app import Bridge
from bridge.broker.holding import ask_who_holds
from bridge.broker.queue_length import queue_length
from bridge.pump.one_pass import hand_over
from bridge.store.horizon import advance_horizon
from bridge.store.losses import note_collector
from bridge.watch import judging, watching
from bridge.watch.watching import Watch
from tests.conftest import WORKERS
from tests.support.stage import Stage
from tests.support.waiting import wait_until

LONG = 60.0
STATES = 'SELECT array_agg(state ORDER BY "offset") FROM fq.deliveries'


class Watched(Stage):
    """A stage without a bridge worker: the test makes passes and looks by itself."""

    def prepare(self) -> None:
        app = Celery("shop", broker=self.broker_url, set_as_current=False)
        app.conf.update(bridge_database_url=self.database_url)
        self.app_bridge = Bridge(app)
        self.watch = Watch(self.app_bridge)
        self.settled(seconds_ago=0)

    def close(self) -> None:
        self.app_bridge.sender.close()
        self.app_bridge.store.close()
        self.app_bridge.app.close()
        super().close()

    def settled(self, *, seconds_ago: float) -> None:
        """Let the only collector have settled all that it had taken so many seconds ago."""
        note_collector(
            self.store, bridge="bridge", name="c", holder="here", seconds=seconds_ago - 60, most_seconds=3600
        )

    def hand_over(self, client: str = "c") -> int:
        done = hand_over(
            self.store, client, horizon=advance_horizon(self.store), limit=100, send=self.app_bridge.sender.send
        )
        return done.sent if done else 0

    def starts(self, offset: int) -> int:
        return sum(it["args"][0]["offset"] == offset for it in self.handled())

    def looks_and_parks(self) -> bool:
        self.watch.look()
        return bool(self.eyes.execute("SELECT 1 FROM fq.parked").fetchall())

    def held(self) -> set[str]:
        with Connection(self.broker_url) as broker:
            return set(ask_who_holds(self.app_bridge.app, broker, seconds=2).held)

    def misses(self) -> set[int] | None:
        """Look once; return what was nowhere, None if not all places were seen."""
        assert self.watch.look() == 0
        found = self.watch.looks.get("c")
        return None if found is None else {it.offset for it in found.missing}

    def length(self, queue: str) -> int:
        with Connection(self.broker_url) as broker:
            return queue_length(broker, queue, seconds=5) or 0

    def purge(self) -> None:
        with Connection(self.broker_url) as broker, broker.channel() as channel:
            channel.queue_purge("fleet")

    def go_on(self, *numbers: int) -> None:
        for number in numbers:
            self.redis.rpush(f"go-on:{number}", "")


@pytest.fixture(params=["redis", "rabbitmq"])
def watched(
    request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    for name in ("AWAITED_SECONDS", "SHORTEST_REST_SECONDS", "LONGEST_REST_SECONDS"):
        monkeypatch.setattr(watching, name, 0.0)
    for name in ("APART_SECONDS", "SETTLED_SECONDS"):
        monkeypatch.setattr(judging, name, 0.0)
    broker_url = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else redis_url
    with Connection(broker_url) as broker, broker.channel() as channel:
        channel.queue_declare("fleet", durable=True, auto_delete=False)
    it = Watched(database, redis_url, tmp_path, broker_url=broker_url)
    it.prepare()
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()


def test_g6_nothing_doubles_with_a_slow_fleet_and_a_busy_collector_and_what_is_lost_comes_again(
    watched: Watched,
) -> None:
    watched.client("c", topics=["#"], ordering="none", max_attempts=1)
    for do in ("wait", "retry later", "wait", "wait"):
        watched.publish("c.event", {"do": do})
    watched.hand_over()
    assert watched.misses() is None, "they wait in the queue"
    watched.fleet(concurrency=2)
    wait_until(
        lambda: len(watched.handled()) == 3 and not watched.length("fleet"), timeout=LONG, what="all are fetched"
    )
    for _ in range(2):
        wait_until(lambda: watched.misses() == set(), timeout=LONG, what="two run, one is fetched, one is scheduled")
    watched.go_on(1, 3, 4)
    wait_until(lambda: watched.length("bridge") == 3, timeout=LONG, what="three callbacks wait")
    assert watched.misses() is None, "callbacks wait for the collector"
    with Connection(watched.broker_url) as broker, broker.channel() as channel:
        channel.queue_purge("bridge")
    watched.settled(seconds_ago=3600)
    for _ in range(3):
        wait_until(lambda: watched.misses() == {1, 3, 4}, timeout=LONG, what="the collector may have them in hand")
    watched.settled(seconds_ago=0)
    wait_until(lambda: watched.watch.look() == 3, timeout=LONG, what="the callbacks are lost")
    assert watched.ask(STATES) == ["retrying", "sent", "retrying", "retrying"], "a worker holds the second"
    assert watched.hand_over() == 3
    assert watched.ask("SELECT max(attempt - earlier_attempts) FROM fq.deliveries") == 1


def test_g6_where_a_worker_may_hold_a_message_and_does_not_say_so_the_lease_decides(watched: Watched) -> None:
    watched.client("c", topics=["#"])
    watched.publish("c.event")
    watched.hand_over()
    watched.purge()
    watched.fleet("silent", env={"FLEET_IS_SILENT": "1"}, concurrency=1)
    assert [watched.misses(), watched.misses()] == [None, None]
    assert watched.ask(STATES) == ["sent"]


def test_g1_workers_that_do_not_know_the_task_drop_its_messages_and_those_that_do_get_them(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.client("c", topics=["#"], task="plain.newer")
    watched.publish("c.event")
    watched.hand_over()
    watched.fleet("old", concurrency=1)
    wait_until(lambda: not watched.length("fleet"), timeout=LONG, what="it is dropped")
    for _ in range(2):
        wait_until(lambda: watched.misses() == {1}, timeout=LONG, what="none of them knows it")
    assert "its task plain.newer is not known to 1 worker of queue 'fleet'" in caplog.text
    watched.eyes.execute("UPDATE fq.clients SET task = 'plain.handle'")
    wait_until(lambda: watched.watch.look() == 1, timeout=LONG, what="a worker knows it now")


def test_g10_a_handler_that_kills_each_process_and_whose_message_comes_back_uses_up_its_attempts(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.client("c", topics=["#"], ordering="none", max_attempts=3, ack_timeout_seconds=3600)
    for do in ("lose each process", "", "wait"):
        watched.publish("c.event", {"do": do})
    watched.hand_over()
    watched.fleet("taking-back", env={"FLEET_TAKES_BACK": "1"}, concurrency=2)
    wait_until(lambda: watched.starts(1) > 3, timeout=LONG, what="it starts again and again")
    wait_until(watched.looks_and_parks, timeout=LONG, what="three starts are known")
    reason, error_type, attempt = watched.eyes.execute("SELECT reason, error_type, attempt FROM fq.parked").fetchall()[
        0
    ]
    assert (error_type, attempt) == ("WorkerLostError", 1)
    assert re.fullmatch(r"kept killing its process \(\d+ starts seen\)", reason)
    wait_until(lambda: watched.held() == {"c:3"}, timeout=LONG, what="its message is dropped; the third event runs on")
    assert watched.ask(STATES) == ["sent", "sent"], "nobody else is harmed"

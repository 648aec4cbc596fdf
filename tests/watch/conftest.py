"""A stage without a bridge worker: tests of the watch make passes and looks by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from bridge.app import Bridge
from bridge.broker.holding import ask_who_holds
from bridge.broker.queue_length import queue_length
from bridge.broker.running import ask_what_runs
from bridge.pump.one_pass import hand_over
from bridge.store.horizon import advance_horizon
from bridge.store.losses import note_collector
from bridge.watch import judging, watching
from bridge.watch.watching import Watch
from tests.conftest import WORKERS
from tests.support.stage import Stage
from tests.support.waiting import wait_until

LONG = 60.0


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

    def look_until(self, condition: Callable[[], bool], *, what: str) -> None:
        """Look again and again, as a bridge worker does, until something is so."""

        def looked() -> bool:
            self.watch.look()
            return condition()

        wait_until(looked, timeout=LONG, what=what)

    def parked(self) -> list[int]:
        return [offset for (offset,) in self.eyes.execute('SELECT "offset" FROM fq.parked ORDER BY 1').fetchall()]

    def running_in(self) -> dict[str, int]:
        """Return the process of each task that runs."""
        with Connection(self.broker_url) as broker:
            runs = ask_what_runs(self.app_bridge.app, broker, seconds=2, known=None)[1]
        return {id: it.process for id, it in runs.items()}

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
    for name in ("SOON_SECONDS", "AWAITED_SECONDS", "SHORTEST_REST_SECONDS", "LONGEST_REST_SECONDS"):
        monkeypatch.setattr(watching, name, 0.0)
    for name in ("APART_SECONDS", "SETTLED_SECONDS"):
        monkeypatch.setattr(judging, name, 0.0)
    monkeypatch.setattr(watching, "ANSWERS_A_SECOND", inf)
    broker_url = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else redis_url
    with Connection(broker_url) as broker, broker.channel() as channel:
        channel.queue_declare("fleet", durable=True, auto_delete=False)
    it = Watched(database, redis_url, tmp_path, broker_url=broker_url)
    it.prepare()
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()

"""G1, G6, G9: Postgres fails over under a running bridge, straight and behind PgBouncer, with and without a loss.

A clean fail-over needs nobody: the bridge goes on, nothing is lost and nothing comes twice. One that lost transactions
stops everything, says so, and goes on after a resync.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from bridge.errors import MarkAhead
from bridge.store.migrate import migrate
from tests.conftest import WORKERS
from tests.marks.shop import Shop
from tests.support.clusters import clusters
from tests.support.fleets import let_go_on, offsets
from tests.support.pairs import Pair
from tests.support.pgbouncer import PoolMode, pooler
from tests.support.stage import Stage
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SESSIONS: dict[PoolMode, int] = {"transaction": 4, "session": 20}
WAYS = ["hosts", "session", "transaction", "transaction, paused"]
TROUBLE = "SELECT trouble FROM fq.mark_troubles"
NOTED = "SELECT array_agg(action ORDER BY id) FROM fq.journal WHERE action IN ('moved', 'failed-over', 'broker-lost')"


class Place:
    """Two servers, and a running bridge that reaches them in one of the ways that people use."""

    def __init__(self, pair: Pair, stage: Stage, url: str, point: Callable[[], None], tell: Callable[[str], None]):
        self.pair, self.stage, self.url, self._point, self._tell = pair, stage, url, point, tell

    def switch(self, *, back: bool = True) -> None:
        """Let the servers change places; with PgBouncer it is paused, or not, and pointed at the other one."""
        self._tell("PAUSE postgres")
        self.pair.stop_primary()
        self.pair.promote()
        self.look_at_new()
        self._tell("RESUME postgres")
        if back:
            self.pair.rejoin()

    def look_at_new(self) -> None:
        """Point everything at the server that was promoted."""
        self._point()
        self.stage.eyes.close()
        self.stage.eyes = self.pair.eyes()

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command of the bridge as an operator does, the same way as the bridge reaches Postgres."""
        given = {"BRIDGE_DATABASE_URL": self.url, "CELERY_BROKER_URL": self.stage.broker_url, "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *command],
            env=os.environ | given,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(params=WAYS)
def place(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        pair = Pair(stack.enter_context(clusters()))
        migrate(pair.url)
        url, point, tell = pair.both, lambda: None, cast("Callable[[str], None]", lambda _: None)
        if request.param != "hosts":
            mode = cast("PoolMode", request.param.partition(",")[0])
            it = stack.enter_context(pooler(pair.url, mode=mode, size=SESSIONS[mode]))
            url, point = it.url, lambda: it.point_at(pair.url)
            tell = it.tell if request.param.endswith("paused") else tell
        stage = Stage(pair.url, redis_url, tmp_path)
        stack.callback(stage.close)
        request.node.stash[WORKERS] = stage.workers
        stage.bridge(wait=False, BRIDGE_DATABASE_URL=url)
        stage.fleet()
        stage.client("loop")
        yield Place(pair, stage, url, point, tell)


def test_g1_g6_a_clean_fail_over_and_the_way_back_need_nobody_and_nothing_comes_twice(place: Place) -> None:
    stage = place.stage
    published = stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    for _ in range(2):
        waiting = [stage.publish("loop.event", {"do": "wait"}, key=f"k{n}") for n in (1, 2)]
        behind = [stage.publish("loop.event", key=f"k{n}") for n in (1, 2)]
        wait_until(lambda waiting=waiting: set(waiting) <= handled(stage), timeout=60, what="two are being handled")  # type: ignore[misc]
        place.switch()
        let_go_on(stage.redis_url, *waiting)
        published += [*waiting, *behind, *stage.publish_many("loop.event", 20)]
        stage.wait_until_done("loop")
    assert sorted(offsets(stage.handled())) == sorted(published), "each once"
    assert stage.ask("SELECT sum(losses) FROM fq.marks") == 0
    assert stage.ask(NOTED) == ["failed-over", "failed-over"]
    assert stage.ask(TROUBLE) is None
    assert "caught up" in place.run("explain", "loop")


@pytest.mark.parametrize("place", ["session", "transaction"], indirect=True)
def test_g1_g6_a_fail_over_that_lost_transactions_stops_everything_until_a_resync(place: Place) -> None:
    stage, pair = place.stage, place.pair
    kept = stage.publish_many("loop.event", 10)
    stage.wait_until_done("loop")
    pair.stop_replica()
    lost = stage.publish_many("loop.event", 5)
    stage.wait_until_done("loop")
    assert handled(stage) == {*kept, *lost}
    pair.stop_primary(crash=True)
    pair.promote(start=True)
    place.look_at_new()
    wait_until(lambda: stage.ask(TROUBLE), timeout=60, what="the bridge has stopped")
    new = stage.publish_many("loop.new", 4)
    status, explained = place.run("status"), place.run("explain", "loop")
    for said in (status, explained, place.run("doctor", code=1)):
        assert "set back" in said and "resync" in said, said
    assert len(stage.handled()) == 15, "nothing was handed over"
    assert stage.ask('SELECT "offset" FROM fq.clients') <= kept[-1], "nothing was settled"
    assert "generation 2 would begin" in place.run("resync")
    assert "generation 2 began" in place.run("resync", "--yes")
    stage.wait_until_done("loop")
    later = stage.publish_many("loop.new", 4)
    stage.wait_until_done("loop")
    again = [note["args"][0] for note in stage.handled()[15:]]
    assert sorted(it["offset"] for it in again if it["topic"] == "loop.new") == [*new, *later]
    assert {it["generation"] for it in again if it["topic"] == "loop.new"} == {2}
    assert stage.ask(TROUBLE) is None


@pytest.mark.parametrize("place", ["hosts"], indirect=True)
def test_g1_a_primary_that_dies_under_load_with_a_synchronous_replica_needs_nobody(place: Place) -> None:
    stage, pair = place.stage, place.pair
    for statement in ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"):
        stage.eyes.execute(statement.encode())
    waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    wait_until(lambda: stage.ask(waits) == 1, what="commits wait for the replica", timeout=30)
    published = [stage.publish("loop.event", {"n": n}, key=f"k{n % 5}") for n in range(200)]
    wait_until(lambda: len(stage.handled()) > 20, what="some are handled", timeout=60)
    pair.stop_primary(crash=True)
    pair.promote()
    place.look_at_new()
    # The replica that was promoted would wait for one of its own.
    for statement in ("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"):
        stage.eyes.execute(statement.encode())
    published += stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    assert handled(stage) == set(published)
    by_key: dict[str, list[int]] = {}
    for note in stage.handled():
        event = note["args"][0]
        seen = by_key.setdefault(event["key"], [])
        if event["key"] and event["offset"] not in seen:
            seen.append(event["offset"])
    assert all(seen == sorted(seen) for seen in by_key.values()), "first handlings of a key are in order"
    assert stage.ask(TROUBLE) is None
    assert stage.ask("SELECT count(*) FROM fq.parked") == 0


@pytest.mark.parametrize("first", ["old", "new"])
def test_g6_of_two_primaries_that_both_take_writes_only_one_goes_on(redis_url: str, first: str) -> None:
    with clusters() as servers, ExitStack() as stack:
        pair = Pair(servers)
        migrate(pair.url)
        eyes = stack.enter_context(pair.eyes())
        shops = {"old": stack.enter_context(shop_on(pair.url, redis_url, eyes))}
        shops["old"].client(ordering="none")
        eyes.execute("INSERT INTO fq.events DEFAULT VALUES")
        shops["old"].tick()
        pair.wait_until_level()
        pair.promote()  # and nobody has stopped the old one
        its = stack.enter_context(pair.eyes())
        shops["new"] = stack.enter_context(shop_on(pair.url, redis_url, its))
        assert shops[first].stopped() is None
        assert shops[first].stopped() is None
        second = shops["new" if first == "old" else "old"]
        second.world.eyes.execute("INSERT INTO fq.events DEFAULT VALUES")
        assert isinstance(second.stopped(), MarkAhead)
        assert [it["bridge_offset"] for it in second.waiting()] == [1], "nothing is handed over"


@contextmanager
def shop_on(url: str, redis_url: str, eyes: psycopg.Connection[Any]) -> Iterator[Shop]:
    with World.at(url, eyes) as world, Shop(world, url, redis_url) as shop:
        yield shop


def handled(stage: Stage) -> set[int]:
    return set(offsets(stage.handled()))

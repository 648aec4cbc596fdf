"""G1, G6: Redis fails over by real Sentinels under a running bridge, set up as the docs say.

To a replica that has everything: nothing is handed over again, and outcomes go on being settled. To one that has
nothing: what was open goes out again, no attempt is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from celery import Celery

import bridge
from tests.conftest import WORKERS
from tests.support.fleets import let_go_on, offsets
from tests.support.sentinels import NAME, Sentinels, sentinels
from tests.support.stage import Stage
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
FINISHED = "SELECT succeeded FROM fq.clients"
PARKED = "SELECT count(*) FROM fq.parked"
LOSSES = "SELECT coalesce(sum(losses), 0) FROM fq.marks"


class Place(NamedTuple):
    """A bridge and a fleet on Sentinels."""

    redis: Sentinels
    stage: Stage


@pytest.fixture
def place(request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path) -> Iterator[Place]:
    with sentinels(tmp_path / "redis") as redis:
        stage = Stage(database, redis_url, tmp_path, broker_url=redis.url)
        request.node.stash[WORKERS] = stage.workers
        try:
            write_app(tmp_path, redis)
            stage.bridge(app="shop", directory=tmp_path, wait=False)
            options = {"master_name": NAME, "visibility_timeout": 7200}
            stage.fleet(env={"FLEET_TRANSPORT_OPTIONS": json.dumps(options)})
            stage.client("loop", max_attempts=1)  # if an attempt were counted, the event would be parked
            yield Place(redis, stage)
        finally:
            stage.close()


def write_app(directory: Path, redis: Sentinels) -> None:
    """Write the app of the page, with the addresses of these Sentinels."""
    section = PAGE.read_text().split("\nWith Sentinel:\n")[1]
    found = re.search(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    code = found[1]
    for host, port in zip(("s1", "s2", "s3"), redis.ports, strict=True):
        assert f"sentinel://{host}:26379" in code
        code = code.replace(f"sentinel://{host}:26379", f"sentinel://127.0.0.1:{port}")
    (directory / "shop.py").write_text(code)


def two_in_hand(stage: Stage) -> tuple[list[int], list[int]]:
    """Finish some events, let two be handled, and two more wait behind them."""
    done = stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    waiting = [stage.publish("loop.event", {"do": "wait"}, key=f"k{n}") for n in (1, 2)]
    behind = [stage.publish("loop.event") for _ in range(2)]
    wait_until(lambda: set(waiting) <= set(offsets(stage.handled())), timeout=60, what="two are being handled")
    wait_until(lambda: stage.ask("SELECT dispatched FROM fq.clients") == behind[-1], what="all are handed over")
    return done, waiting + behind


def recall_what_was_fetched(stage: Stage) -> None:
    """Do what the page says about messages that a worker had fetched and not begun when its connection broke."""
    app = Celery("shop", broker=stage.broker_url, set_as_current=False)
    app.conf.broker_transport_options = {"master_name": NAME}
    app.conf.bridge_database_url = stage.database_url
    with bridge.Operator(app) as operator:
        operator.recall("loop")


@pytest.mark.parametrize("way", ["killed", "on command"])
def test_g1_a_replica_that_has_everything_takes_over_and_nothing_is_handed_over_again(place: Place, way: str) -> None:
    redis, stage = place
    done, open = two_in_hand(stage)
    if way == "killed":
        redis.ask(redis.primary, "WAIT", 1, 10_000)
        redis.kill_primary()
    else:
        redis.ask(redis.ports[0], "SENTINEL", "FAILOVER", NAME)
    redis.wait_for_fail_over()
    let_go_on(stage.redis_url, *open[:2])
    new = stage.publish_many("loop.event", 20)
    wait_until(lambda: stage.ask(FINISHED) >= 42, timeout=60, what="all are settled but what a worker had fetched")
    assert stage.ask(LOSSES) == 0
    recall_what_was_fetched(stage)
    stage.wait_until_done("loop")
    assert set(offsets(stage.handled())) == {*done, *open, *new}
    assert stage.ask(LOSSES) == 0
    assert stage.ask("SELECT count(*) FROM fq.journal WHERE action = 'broker-lost'") == 0
    assert stage.ask(PARKED) == 0


@pytest.mark.parametrize("way", ["the replica was empty", "the primary came back empty"])
def test_g1_what_was_open_goes_out_again_where_everything_is_gone(place: Place, way: str) -> None:
    redis, stage = place
    done, open = two_in_hand(stage)
    redis.kill_primary()
    if way == "the replica was empty":
        redis.ask(redis.replica, "FLUSHALL")
        redis.wait_for_fail_over()
    else:  # a server without a file that is restarted before anybody has noticed empties its replica too
        redis.start_server(redis.primary)
    wait_until(lambda: stage.ask(LOSSES) == 1, timeout=90, what="the loss is seen")
    let_go_on(stage.redis_url, *open[:2] * 2)
    new = stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    assert set(offsets(stage.handled())) == {*done, *open, *new}
    assert stage.ask(PARKED) == 0, "no attempt is counted"

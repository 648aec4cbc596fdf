"""G6: a database that was set back settles nothing and hands nothing over; one that was only restarted goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.demo.servers import run_postgres
from bridge.errors import MarkAhead, StoreUnavailable
from bridge.marks.claim import claim, read_witnesses
from bridge.model import Failure, Outcome
from bridge.operate.operator import Operator
from bridge.settle.settle import settle
from bridge.store import Store
from bridge.store.migrate import migrate
from tests.marks.shop import MakeShop, Shop
from tests.support.restarts import RestartablePostgres
from tests.support.world import World

ON_REDIS = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)  # the broker makes no difference


class Cluster:
    """A server of the test's own, whose files it can put back."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self._directory = url, directory
        with psycopg.connect(url) as connection:
            self._data = connection.execute("SHOW data_directory").fetchone()[0]  # type: ignore[index]
        self.server = RestartablePostgres(self._data, log_path=directory / "postgres.log")

    def save(self, name: str = "saved") -> None:
        """Copy its files, as a backup does that is taken while it is off."""
        self.server.stop()
        shutil.rmtree(self._directory / name, ignore_errors=True)
        subprocess.run(["cp", "-a", self._data, self._directory / name], check=True)
        self.start()

    def put_back(self, name: str = "saved") -> None:
        """Put the copy in the place of what is there."""
        self.server.kill()
        shutil.rmtree(self._data)
        subprocess.run(["cp", "-a", self._directory / name, self._data], check=True)
        (Path(self._data) / "postmaster.pid").unlink(missing_ok=True)
        self.start()

    def restart(self) -> None:
        self.server.stop()
        self.start()

    def start(self) -> None:
        from tests.support.restarts import answers
        from tests.support.waiting import wait_until

        self.server.start()
        wait_until(lambda: answers(self.url), what="Postgres answers")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with run_postgres(directory) as url:
        migrate(url)
        it = Cluster(url, directory)
        it.save("empty")
        yield it
        it.server.stop()


@pytest.fixture
def shop(cluster: Cluster, make_shop: MakeShop, broker_url: str) -> Iterator[Shop]:
    """Return a bridge on the cluster, whose log is empty."""
    cluster.put_back("empty")
    store = Store(cluster.url)
    world = World(store, psycopg.connect(cluster.url, autocommit=True))
    shop = make_shop(broker_url, database=cluster.url, world=world)
    yield shop
    world.eyes.close()
    store.close()


def look_anew(shop: Shop, cluster: Cluster) -> None:
    """Connect anew for what the test itself sees."""
    shop.world.eyes.close()
    shop.world.eyes = psycopg.connect(cluster.url, autocommit=True)


def outcomes(shop: Shop, failure: Failure | None = None) -> list[Outcome]:
    """Return what the fleet reports on all that waits for it."""
    return [
        Outcome(client="c", offset=it["bridge_offset"], epoch=1, attempt=it["bridge_attempt"], failure=failure)
        for it in shop.waiting()
    ]


def ticks(shop: Shop) -> None:
    """Run the pump until it reaches the server that has come back; it says at most once that it was away."""
    for _ in range(3):
        try:
            shop.tick()
        except StoreUnavailable:
            continue
        return


@pytest.mark.parametrize("broker_url", ["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)], indirect=True)
def test_g6_old_callbacks_settle_nothing_of_a_database_that_was_put_back_and_its_failures_are_retried(
    shop: Shop, cluster: Cluster
) -> None:
    world = shop.world
    shop.client(ordering="none", max_attempts=3, backoff_seconds=0)
    world.publish("a")
    for _ in range(3):
        shop.tick()
    shop.settle(*outcomes(shop))
    cluster.save()
    look_anew(shop, cluster)
    world.publish("b", "c", "d")
    ticks(shop)
    old = [it for it in outcomes(shop) if it.offset > 1]
    assert [it.offset for it in old] == [2, 3, 4]
    cluster.put_back()
    look_anew(shop, cluster)
    others = world.publish("x", "y", "z")  # other events at the same offsets
    assert others[0] in (2, 34), "Postgres may leave out 32 offsets when it crashes"

    refusals: list[type[Exception]] = []
    while MarkAhead not in refusals and len(refusals) < 4:  # a session that died, and a server that is another one
        with pytest.raises((MarkAhead, StoreUnavailable)) as refused:
            shop.settle(*old)
        refusals.append(refused.type)
    assert refusals[-1] is MarkAhead
    error = next(error for _ in range(3) if isinstance(error := shop.stopped(), MarkAhead))
    assert "set back" in str(error)
    assert world.eyes.execute("SELECT count(*) FROM fq.deliveries").fetchone() == (0,)
    with Operator(shop.app) as operator:
        assert "set back" in (operator.status("c")[0].stopped or "")
        assert operator.explain("c", ask_broker=False)[0].kind == "mark-ahead"
    seen = read_witnesses(shop.bridge)
    assert seen.theirs is not None and seen.theirs.seen.offset == 4
    assert seen.event is None or seen.event != seen.theirs.seen

    claim(shop.bridge, why="a test")
    world.eyes.execute("UPDATE fq.clients SET epoch = epoch + 1, last_epoch = last_epoch + 1")  # as a resync does
    assert shop.stopped() is None
    assert shop.settle(*old).succeeded == 0, "they are of an epoch that is over"
    handed_over = [it for it in shop.waiting() if it["bridge_offset"] in others and it["bridge_client"] == "c"][-3:]
    failures = [
        Outcome(client="c", offset=it["bridge_offset"], epoch=2, attempt=1, failure=Failure(type="E"))
        for it in handed_over
    ]
    assert shop.settle(*failures).retried == 3
    with Operator(shop.app) as operator:
        assert operator.status("c")[0].stopped is None


@ON_REDIS
def test_g6_a_tail_of_half_a_second_is_missed_too_when_it_was_handed_over(shop: Shop, cluster: Cluster) -> None:
    shop.client()
    shop.world.publish("a")
    shop.tick()
    cluster.save()
    look_anew(shop, cluster)
    ticks(shop)
    count = shop.mark()["count"]
    cluster.save()
    look_anew(shop, cluster)
    shop.world.publish("b")
    shop.witness._due = float("inf")  # noqa: SLF001 - nobody looks before the crash
    shop.bridge.store.close()  # its sessions ended with the server
    shop.bridge.store.vouch("")
    from bridge.pump.loop import pump_of

    pump_of(shop.bridge).catch_up()
    cluster.put_back()
    look_anew(shop, cluster)
    assert shop.mark()["count"] == count, "both marks stand as they stood"
    assert any(isinstance(shop.stopped(), MarkAhead) for _ in range(3))


@ON_REDIS
def test_g9_a_server_that_was_only_restarted_is_compared_before_anything_is_settled_and_goes_on(
    shop: Shop, cluster: Cluster
) -> None:
    shop.client()
    shop.world.publish("a")
    shop.tick()
    [outcome] = outcomes(shop)
    cluster.restart()
    with pytest.raises(StoreUnavailable):
        settle(shop.bridge.store, [outcome])
        settle(shop.bridge.store, [outcome])
    for _ in range(3):
        try:
            settled = shop.settle(outcome)
        except StoreUnavailable:
            continue
        break
    assert settled.succeeded == 1
    look_anew(shop, cluster)
    assert not shop.mark()["losses"]
    assert shop.stopped() is None

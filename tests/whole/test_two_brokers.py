"""One log feeds two fleets on two brokers, each by a bridge of its own (G1, G10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

import bridge
from tests.conftest import WORKERS
from tests.support.databases import RedisDatabases
from tests.support.fleets import offsets
from tests.support.stage import Stage

EVENTS = 40


@pytest.fixture
def stages(
    request: pytest.FixtureRequest, database: str, _redis_databases: RedisDatabases, tmp_path: Path
) -> Iterator[dict[str, Stage]]:
    """Return two stages on one log: each has a broker, a bridge and a fleet of its own."""
    with _redis_databases.empty() as here, _redis_databases.empty() as there:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        its = {"here": Stage(database, here, tmp_path / "a"), "there": Stage(database, there, tmp_path / "b")}
        request.node.stash[WORKERS] = [worker for it in its.values() for worker in it.workers]
        try:
            yield its
        finally:
            for it in its.values():
                it.close()


def explained(stage: Stage, client: str, *, name: str) -> list[str]:
    app = Celery("shop", broker=stage.broker_url, set_as_current=False)
    app.conf.update(bridge_database_url=stage.database_url, bridge_queue=name)
    with bridge.Operator(app) as operator:
        return [cause.kind for cause in operator.explain(client)]


@pytest.mark.slow
def test_g10_two_bridges_on_two_brokers_each_feed_their_own_clients_from_one_log(stages: dict[str, Stage]) -> None:
    here, there = stages.values()
    here.client("a", topics=["#"])
    there.client("b", topics=["#"], bridge="bridge-b")
    for it, queue in ((here, "bridge"), (there, "bridge-b")):
        it.bridge(queue=queue, wait=False)
        it.fleet()
    for nth in range(EVENTS):
        here.publish("order.created", {"number": nth}, key=f"k{nth % 7}")
    here.wait_until_done("a", "b")
    for it, client in ((here, "a"), (there, "b")):
        notes = it.handled()
        assert sorted(offsets(notes)) == list(range(1, EVENTS + 1)), "each event once, on the client's own broker"
        assert {note["id"].partition(":")[0] for note in notes} == {client}
    assert explained(here, "b", name="bridge") == ["other-bridge", "caught-up"]
    assert explained(there, "b", name="bridge-b") == ["caught-up"]

"""Ticks while Postgres is away, or a stranger holds a client: no failed tasks, and the others are served (G10)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from celery import Celery

from bridge import declare, tasks
from bridge.app import Bridge
from bridge.pump import declared
from bridge.pump.loop import Pump, pump_of
from bridge.store import rounds
from bridge.trouble import Trouble
from tests.conftest import Connect
from tests.support.world import World


@pytest.fixture
def bridge(world: World, database: str, redis_url: str) -> Iterator[Bridge]:
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=0)
        bridge = Bridge(app)
        yield bridge
        bridge.sender.close()
        bridge.store.close()


def test_g10_a_tick_while_postgres_is_away_is_no_failed_task_and_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(logging.getLogger("bridge"), what="the pump waits", over="the pump works again")
    monkeypatch.setattr(tasks, "_away", trouble)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Celery("bridge", broker="memory://", set_as_current=False) as app:
        app.conf.bridge_database_url = f"postgresql://nobody@127.0.0.1:{port}/none"
        task = app.tasks["bridge.pump"]
        results = [task.apply() for _ in range(3)]
    assert [result.state for result in results] == ["SUCCESS"] * 3
    assert all("Postgres is not available" in result.result["waits"] for result in results)
    assert caplog.text.count("the pump waits: Postgres is not available") == 1
    assert "Traceback" not in caplog.text


def test_what_the_bridge_s_tasks_raise_on_purpose_is_expected() -> None:
    for name in ("pump", "commit", "fail", "settle"):
        assert getattr(tasks, name).throws


def test_g10_a_client_that_a_stranger_holds_is_registered_later_and_the_others_are_served(
    world: World, bridge: Bridge, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(declared, "REGISTER_SECONDS", 0.05)
    monkeypatch.setattr(declare, "_declared", {})

    def handle(event: object) -> None:
        pass

    for id in ("held", "new"):
        declare.client(id)(bridge.app.task(name=f"fleet.{id}", shared=False)(handle))
    world.client("held", task="fleet.held")
    stranger = connect(autocommit=False)
    stranger.execute("SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    world.publish(None)
    pump: Pump = pump_of(bridge)
    assert pump.tick().sent == 1
    assert world.row("new")["dispatched"] == 1, "it is registered and served"
    assert "a client is not registered yet: another transaction holds client 'held'" in caplog.text
    stranger.rollback()
    pump.tick()
    assert world.row("held")["dispatched"] == 1
    assert "all clients are registered" in caplog.text


def test_g10_the_trouble_of_a_client_that_a_stranger_holds_is_not_waited_for(world: World, connect: Connect) -> None:
    world.client()
    stranger = connect(autocommit=False)
    stranger.execute("SELECT FROM fq.clients WHERE id = 'c' FOR UPDATE")
    rounds.note_trouble(world.store, client="c", trouble="nobody can write this down")
    stranger.rollback()
    assert world.row()["trouble"] is None
    rounds.note_trouble(world.store, client="c", trouble="now")
    assert world.row()["trouble"] == "now"

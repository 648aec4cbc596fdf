"""Ticks while Postgres is away, or a stranger holds a client: no failed tasks, and the others are served (G10)."""

from __future__ import annotations

import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from celery import Celery

from bridge import declare, tasks
from bridge.app import Bridge, bridge_of
from bridge.pump import declared
from bridge.pump.loop import Pump, pump_of
from bridge.store import rounds
from bridge.trouble import Trouble
from tests.conftest import Connect
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World


def test_g10_a_tick_while_postgres_is_away_is_no_failed_task_and_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(logging.getLogger("bridge"), what="the pump waits", over="the pump works again")
    monkeypatch.setattr(tasks, "_away", trouble)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Celery("bridge", broker="memory://", set_as_current=False) as app:
        app.conf.bridge_database_url = f"postgresql://nobody@127.0.0.1:{port}/none"
        app.conf.bridge_interval_seconds = 0.01
        task = app.tasks["bridge.pump"]
        results = [task.apply() for _ in range(3)]
    assert [result.state for result in results] == ["SUCCESS"] * 3
    assert all("Postgres is not available" in result.result["waits"] for result in results)
    assert caplog.text.count("the pump waits: Postgres is not available") == 1
    assert "Traceback" not in caplog.text


def test_a_tick_that_finds_postgres_away_goes_on_when_it_is_back_and_needs_no_other_tick(
    world: World, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client()
    world.publish("k")
    tries: list[object] = []
    trouble = Trouble(logging.getLogger("bridge"), what="the pump waits", over="the pump works again")
    monkeypatch.setattr(trouble, "went", tries.append)
    monkeypatch.setattr(tasks, "_away", trouble)
    server = urlsplit(database)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Celery("bridge", broker=redis_url, set_as_current=False) as app, ThreadPoolExecutor(1) as threads:
        app.conf.bridge_database_url = database.replace(f":{server.port}", f":{port}")
        app.conf.update(bridge_interval_seconds=120, bridge_linger_seconds=0)
        ticking = threads.submit(app.tasks["bridge.pump"].apply)
        wait_until(lambda: len(tries) >= 2, what="it has tried again")
        assert not ticking.done()
        link = Link(server.port or 5432, listen=port)
        try:
            assert ticking.result(60).result["sent"] == 1
        finally:
            bridge_of(app).sender.close()
            bridge_of(app).store.close()
            link.close()


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

"""Several bridges on one log: each serves, waits for, passes over and registers its own clients only (G6, G10)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.collector import visibility
from bridge.declare import client
from bridge.operate.explain import explain
from bridge.pump.loop import Pump
from bridge.store import rounds
from bridge.store.clients import list_clients
from bridge.store.facts import collect_facts
from bridge.store.horizon import advance_horizon
from bridge.store.recall import clients_with_open
from tests.support.world import World, offsets

MADE: list[Bridge] = []


@pytest.fixture(autouse=True)
def closed(world: World) -> Iterator[None]:
    """Close what a test has connected."""
    yield
    while MADE:
        bridge = MADE.pop()
        bridge.sender.close()
        bridge.store.close()


def bridge_on(app: Celery) -> Bridge:
    MADE.append(Bridge(app))
    return MADE[-1]


def handle(event: dict[str, Any]) -> None: ...


def pump(world: World, url: str, *, name: str) -> Pump:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(bridge_database_url=url, bridge_queue=name, bridge_linger_seconds=0)
    app.task(name="fleet.handle", shared=False)(handle)
    return Pump(bridge_on(app))


def test_g6_a_pass_of_another_bridge_leaves_a_client_alone(world: World) -> None:
    world.client("ours")
    world.client("theirs", bridge="b")
    world.publish(None)
    horizon = advance_horizon(world.store)
    assert rounds.clients_to_serve(world.store, horizon=horizon) == ["ours"]
    assert rounds.clients_to_serve(world.store, bridge="b", horizon=horizon) == ["theirs"]
    assert world.one_pass("theirs", bridge="bridge") is None
    assert offsets(world.hand_over("theirs", bridge="b")) == [1]
    assert (clients_with_open(world.store, bridge="bridge"), clients_with_open(world.store)) == ([], ["theirs"])
    world.client("theirs", bridge="bridge")
    assert world.one_pass("theirs", bridge="b") is None, "it has moved between two looks"
    assert world.succeed(*world.sent).succeeded == 1, "what it had open is settled all the same"


def test_g6_each_bridge_waits_for_its_own_clients_and_passes_over_them(world: World) -> None:
    for id, name in (("ours", "bridge"), ("theirs", "b")):
        world.client(id, bridge=name, topics=("none.of.it",))
    world.one_pass("ours")
    world.publish(None)
    horizon = advance_horizon(world.store)
    rounds.take_turn(world.store, bridge="b", holder="b1", seconds=600)
    rounds.take_turn(world.store, holder="a1", seconds=600)
    rounds.prepare_turns(world.store, bridge="b")
    rounds.pass_over(world.store, bridge="b", horizon=horizon, slice=1000)
    assert (world.row("ours")["dispatched"], world.row("theirs")["dispatched"]) == (-1, -1), "both are woken"
    world.one_pass("theirs")
    world.publish(None)
    horizon = advance_horizon(world.store)
    rounds.pass_over(world.store, bridge="b", horizon=horizon, slice=1000)
    assert (world.row("ours")["dispatched"], world.row("theirs")["dispatched"]) == (-1, 2)
    wait: dict[str, Any] = {"seconds": 0, "poll_seconds": 0.01}
    assert rounds.wait_for_work(world.store, bridge="b", holder="b1", **wait)[:3] == (False, True, False)
    assert rounds.wait_for_work(world.store, holder="a1", **wait)[:3] == (True, True, False)
    assert rounds.wait_for_work(world.store, bridge="b", holder="a1", **wait).newest is False, "its turn is its own"


def test_g6_two_bridges_linger_side_by_side(world: World) -> None:
    with ThreadPoolExecutor() as threads:
        holders = [
            threads.submit(rounds.take_turn, world.store, bridge=name, holder=name, seconds=600, apart_seconds=5)
            for name in ("bridge", "b")
        ]
        assert [it.result() for it in holders] == [True, True]
    rounds.end_tick(world.store, bridge="b", most_seconds=600)
    rounds.note_tick(world.store, bridge="b", host="there", clock=0)
    world.client("ours")
    world.client("theirs", bridge="b")
    assert collect_facts(world.store, "ours").clock_host is None
    assert collect_facts(world.store, "theirs").clock_host == "there"
    assert rounds.silent_bridges(world.store) == []


def test_g10_a_pump_registers_what_is_its_own_and_leaves_the_rest_alone(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bridge.declare._declared", {})
    app = Celery("shop", set_as_current=False)
    task = app.task(name="fleet.handle", shared=False)(handle)
    client("theirs", bridge="b", window=7)(task)
    client("common", window=7)(task)
    client("moved", bridge="a", window=7)(task)
    world.client("moved", bridge="b")
    with caplog.at_level(logging.WARNING, logger="bridge"):
        pump(world, database, name="a").prepare()
    assert "there are clients of bridge 'b', and no pump of it is at work: this bridge is 'a'" in caplog.text
    pump(world, database, name="b").prepare()
    found = {it.id: (it.settings["bridge"], it.settings["window"]) for it in list_clients(world.store)}
    assert found == {"common": ("a", 7), "moved": ("a", 7), "theirs": ("b", 7)}


def test_g10_a_pump_serves_its_own_clients_only(world: World, database: str) -> None:
    world.client("ours", queue="fleet")
    world.client("theirs", bridge="b", queue="fleet")
    world.publish(None)
    assert pump(world, database, name="b").tick().sent == 1
    assert world.rows("deliveries", "client_id") == ["theirs"]


def test_explain_says_that_another_bridge_serves_a_client(world: World) -> None:
    world.client("theirs", bridge="b")
    rounds.take_turn(world.store, bridge="b", holder="pump", seconds=600)
    first, *_ = causes = explain(collect_facts(world.store, "theirs"), None, bridge_queue="a")
    assert (first.kind, first.severity) == ("other-bridge", "info")
    assert "served by bridge 'b', and here is bridge 'a'" in first.text
    assert first.do and "`eventbridge register theirs --bridge a`" in first.do
    assert "other-bridge" not in {
        it.kind for it in explain(collect_facts(world.store, "theirs"), None, bridge_queue="b")
    }
    assert [it.kind for it in causes][1:] == ["caught-up"]


def test_the_visibility_timeout_is_compared_with_own_leases_only(
    world: World, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(visibility, "_warn", told.append)
    world.client("theirs", bridge="b", ack_timeout_seconds=9000)
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.update(bridge_database_url=database)
    visibility.warn_of_visibility(bridge_on(app))
    assert told == []
    world.client("ours", ack_timeout_seconds=9000)
    visibility.warn_of_visibility(bridge_on(app))
    assert "'ours'" in told[0]

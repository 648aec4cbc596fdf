"""A tick serves every client that can be served, whatever is wrong with another one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from bridge.app import Bridge
from bridge.pump import loop
from bridge.pump.loop import pump_of
from bridge.sql import statement
from bridge.store import rounds
from bridge.store.horizon import advance_horizon
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.parametrize("wrong", ["routes = '[1]'", 'routes = \'[["a..b", "t"]]\'', "serializer = 'no-such-thing'"])
def test_a_client_that_plain_sql_made_unusable_is_named_and_the_others_are_served(
    world: World, bridge: Bridge, redis_url: str, wrong: str
) -> None:
    world.client("a-broken-one")
    world.client("good")
    world.eyes.execute(f"UPDATE fq.clients SET {wrong} WHERE id = 'a-broken-one'".encode())
    world.publish("k")
    done = pump_of(bridge).tick()
    assert (done.sent, done.troubled) == (1, 1)
    assert world.row("a-broken-one")["trouble"]
    assert world.row("a-broken-one")["dispatched"] == -1, "nothing of it is remembered"
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("celery") == 1


def test_a_client_in_trouble_is_not_served_again_because_another_transaction_holds_it(
    world: World, bridge: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "TROUBLE_SECONDS", 0)
    world.client(serializer="no-such-thing")
    world.publish("k")
    assert pump_of(bridge).tick().troubled == 1
    with world.store.transaction() as other:
        other.exec_driver_sql("SELECT FROM fq.clients FOR NO KEY UPDATE")
        assert pump_of(bridge).tick().troubled == 0, "nobody knows"
    assert "is served again" not in caplog.text
    world.eyes.execute("UPDATE fq.clients SET serializer = 'json'")
    assert pump_of(bridge).tick().sent == 1
    assert "client c is served again" in caplog.text


def test_g3_clients_that_want_none_of_the_new_events_move_together_and_the_others_get_theirs(
    world: World, bridge: Bridge, redis_url: str
) -> None:
    for number in range(40):
        world.client(f"c{number}", topics=(f"topic{number}.*",))
    world.client("busy", topics=("topic0.*",))
    pump_of(bridge).tick()
    [first] = world.publish("k", topic="topic0.happened")
    pump_of(bridge).tick()
    world.publish("k", topic="topic1.happened")
    last = world.publish("k", topic="nobody.wants")[0]
    pump_of(bridge).tick()
    rows = dict(world.eyes.execute('SELECT id, ("offset", dispatched) FROM fq.clients').fetchall())
    assert {id: row for id, row in rows.items() if row != (str(last), str(last))} == {
        "c0": (str(first - 1), str(last)),
        "busy": (str(first - 1), str(last)),
        "c1": (str(first), str(last)),
    }, "a client with something open keeps its cursor below that"
    assert world.eyes.execute('SELECT client_id, "offset" FROM fq.deliveries ORDER BY 1, 2').fetchall() == [
        ("busy", first),
        ("c0", first),
        ("c1", first + 1),
    ]
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("celery") == 3


def test_g6_a_client_that_another_pump_holds_is_not_moved(world: World, bridge: Bridge) -> None:
    for number in range(20):
        world.client(f"c{number}", topics=("order.*",))
    pump_of(bridge).tick()
    before = world.row("c7")["dispatched"]
    with world.store.transaction() as other:
        other.exec_driver_sql("SELECT FROM fq.clients WHERE id = 'c7' FOR NO KEY UPDATE")
        [last] = world.publish("k", topic="nobody.wants")
        pump_of(bridge).tick()
        assert world.row("c7")["dispatched"] == before
        assert world.row("c8")["dispatched"] == last
    pump_of(bridge).tick()
    assert world.row("c7")["dispatched"] == last


def test_a_pump_waits_while_another_one_moves_many_clients_and_gives_none_of_them_a_pass(
    world: World, bridge: Bridge
) -> None:
    for number in range(20):
        world.client(f"c{number}", topics=("order.*",))
    pump_of(bridge).tick()
    [last] = world.publish(None, topic="nobody.wants")
    horizon = advance_horizon(world.store)
    with ThreadPoolExecutor(1) as threads, world.store.transaction() as other:
        other.execute(statement("pass/pass_over"), {"bridge": "bridge", "horizon": horizon, "slice": 100})
        waiting = threads.submit(pump_of(bridge)._clients_to_serve, horizon)
        wait_until(
            lambda: world.eyes.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall(), what="the second one waits"
        )
        other.commit()
        assert waiting.result(10) == [], "the clients that the first one moved need nothing more"
    assert world.row("c7")["dispatched"] == last


def test_clients_are_moved_although_somebody_emptied_the_table_of_leases(world: World, bridge: Bridge) -> None:
    for number in range(20):
        world.client(f"c{number}", topics=("order.*",))
    pump_of(bridge).tick()
    world.eyes.execute("DELETE FROM fq.turns")
    [last] = world.publish(None, topic="nobody.wants")
    assert pump_of(bridge)._clients_to_serve(advance_horizon(world.store)) == []
    assert world.row("c7")["dispatched"] == last


@pytest.mark.parametrize(
    ("patterns", "topic", "wants"),
    [
        (("#",), "a.b", True),
        (("*",), "a", True),
        (("*.b", "x"), "a.b", True),
        (("a.#",), "a", True),
        (("a.*",), "ab.c", False),
        (("x.y", "a.b"), "a.b", True),
        (("é.#", "ab"), "é", True),
        (("order.created.#.x",), "order.created.x", True),
        (("order.created.#.x",), "order.x", False),
    ],
)
def test_who_wants_an_event_is_not_moved_over_it(
    world: World, bridge: Bridge, patterns: tuple[str, ...], topic: str, wants: bool
) -> None:
    for number in range(20):
        world.client(f"c{number}", topics=("nothing.else",))
    world.client("probe", topics=patterns)
    pump_of(bridge).tick()
    world.publish(None, topic=topic)
    assert pump_of(bridge)._clients_to_serve(advance_horizon(world.store)) == (["probe"] if wants else [])


def test_a_client_in_trouble_does_not_hold_up_those_that_want_nothing(world: World, bridge: Bridge) -> None:
    for number in range(20):
        world.client(f"c{number}", topics=("order.*",))
    world.client("a-broken-one")
    pump_of(bridge).tick()
    world.eyes.execute("UPDATE fq.clients SET routes = '[1]' WHERE id = 'a-broken-one'")
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'nobody.wants' FROM generate_series(1, 12000)")
    pump_of(bridge).tick()
    before = world.row("a-broken-one")["dispatched"]
    [last] = world.publish(None, topic="nobody.wants")
    rounds.pass_over(world.store, horizon=advance_horizon(world.store), slice=10)
    assert world.row("c7")["dispatched"] == last
    assert world.row("a-broken-one")["dispatched"] == before


def test_new_events_are_work_only_while_somebody_has_room_for_them(world: World) -> None:
    def work() -> bool:
        return rounds.wait_for_work(world.store, holder="pump", seconds=0, poll_seconds=0.01).work

    rounds.take_turn(world.store, holder="pump", seconds=60)
    world.publish("a")
    assert not work(), "nobody reads the log"
    world.client(window=1)
    assert work()
    out = world.hand_over()
    assert not work(), "its window is full, and the log is read up to its end"
    world.publish("b")
    assert not work(), "its window is full"
    world.succeed(*out)
    assert work(), "there is room again"
    world.eyes.execute("UPDATE fq.clients SET state = 'paused'")
    assert not work()


def test_a_look_that_was_held_up_does_not_make_the_pump_sleep_for_long(world: World) -> None:
    rounds.take_turn(world.store, holder="pump", seconds=60)
    with ThreadPoolExecutor(1) as threads, world.store.transaction() as other:
        other.exec_driver_sql("LOCK TABLE fq.clients")
        waiting = threads.submit(rounds.wait_for_work, world.store, holder="pump", seconds=0.5, poll_seconds=0.01)
        wait_until(
            lambda: world.eyes.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall(), what="the look is held up"
        )
        other.exec_driver_sql("SELECT pg_sleep(0.6)")
        other.rollback()
        assert waiting.result(10)[:3] == (False, True, False)

"""G1: a Redis that comes back with less than it had taken; G10: one that takes no mark is no reason to stop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from bridge.errors import BrokerUnavailable
from tests.marks.servers import OwnRedis
from tests.marks.shop import FLEET, MakeShop, Shop
from tests.support.world import World


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    it = OwnRedis(tmp_path / "redis")
    it.start()
    yield it
    it.close()


def handed_over(shop: Shop, world: World) -> None:
    """Hand two events over, and let some seconds pass."""
    shop.client(max_attempts=1)
    world.publish("a", "b")
    for _ in range(4):
        shop.tick()
    assert len(shop.waiting()) == 2


def test_g1_a_redis_that_restarts_empty_gets_all_again(redis: OwnRedis, make_shop: MakeShop, world: World) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    redis.restart(keep=False)
    shop.witness.close()
    shop.tick()
    assert [it["bridge_offset"] for it in shop.waiting()] == [1, 2]
    assert shop.mark()["losses"] == 1


def test_g1_a_redis_that_restarts_from_an_old_file_gets_again_what_is_missing_in_it(
    redis: OwnRedis, make_shop: MakeShop, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    redis.ask("SAVE")
    world.publish("c")
    for _ in range(3):
        shop.tick()
    redis.restart(keep=True)
    shop.witness.close()
    shop.tick()
    assert {it["bridge_offset"] for it in shop.waiting()} == {1, 2, 3}
    assert shop.mark()["losses"] == 1
    assert "its mark is old" in caplog.text
    actions = world.eyes.execute(
        "SELECT client_id, action FROM fq.journal WHERE action NOT IN ('register', 'change') ORDER BY id"
    ).fetchall()
    assert actions[-2:] == [("*", "broker-lost"), ("c", "broker-lost")]


def test_g1_a_replica_that_was_promoted_empty_gets_all_again(
    redis: OwnRedis, make_shop: MakeShop, world: World, tmp_path: Path
) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    redis.kill()
    replica = OwnRedis(tmp_path / "replica")
    replica.port = redis.port  # as a virtual address that has moved
    replica.start()
    replica.ask("REPLICAOF", "127.0.0.1", "1")  # of a primary that is gone before it has sent anything
    replica.ask("REPLICAOF", "NO", "ONE")
    shop.tick()
    assert [it["bridge_offset"] for it in shop.waiting()] == [1, 2]
    replica.kill()
    redis.start()


def test_g1_a_replica_that_takes_no_writes_is_no_witness(redis: OwnRedis, make_shop: MakeShop, world: World) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    redis.ask("SAVE")
    for _ in range(3):
        shop.tick()
    redis.restart(keep=True)
    redis.ask("REPLICAOF", "127.0.0.1", "1")  # behind, and nobody knows by how much
    shop.witness.close()
    assert isinstance(shop.stopped(), BrokerUnavailable)
    assert not shop.mark()["losses"]
    redis.ask("REPLICAOF", "NO", "ONE")
    shop.tick()
    assert shop.mark()["losses"] == 1


def test_g10_a_redis_that_is_full_raises_no_alarm(redis: OwnRedis, make_shop: MakeShop, world: World) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    for _ in range(5):
        shop.tick()
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    for _ in range(3):
        assert shop.stopped() is None
    assert not shop.mark()["losses"]
    assert len(shop.waiting()) == 2


def test_g10_a_user_who_may_keep_no_mark_is_told_so_once_and_served(
    redis: OwnRedis, make_shop: MakeShop, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    redis.ask(
        "ACL",
        "SETUSER",
        "bridge",
        "on",
        ">secret",
        "+@all",
        f"~{FLEET}*",
        "~bridge",
        "~bridge[^.]*",
        "~_kombu*",
        "~unacked*",
        "&*",
    )
    shop = make_shop(redis.url.replace("//", "//bridge:secret@"))
    shop.client()
    world.publish("a")
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            shop.tick()
    assert len(shop.waiting()) == 1
    assert caplog.text.count("refuses the bridge's mark") == 1
    assert "secret" not in str(world.eyes.execute("SELECT to_jsonb(m) FROM fq.marks m").fetchall())


@pytest.mark.parametrize("text", ["", "x", "[[", "[" * 100_000, '{"log": 1}', b"\xff" * 10_000_000, '{"a": 1e999}'])
def test_g10_a_mark_that_is_garbage_counts_as_a_loss_and_is_written_anew(
    redis: OwnRedis, make_shop: MakeShop, world: World, text: str | bytes
) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    with Redis(port=redis.port) as eyes:
        eyes.hset("bridge.mark", "mark", text)
        eyes.hset("bridge.mark", "seen", text)
        for _ in range(3):
            assert shop.stopped() is None
        assert shop.mark()["losses"] == 1
        world.publish("c")
        for _ in range(3):
            shop.tick()
        assert (eyes.hget("bridge.mark", "seen") or b"").startswith(b"[3, ")
    assert {it["bridge_offset"] for it in shop.waiting()} == {1, 2, 3}


def test_g10_what_the_broker_has_seen_is_noted_anew_where_it_can_t_be_read(
    redis: OwnRedis, make_shop: MakeShop, world: World
) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    with Redis(port=redis.port) as eyes:
        for text in ("x", "[]", '{"a": 1}', "[" * 100_000, "[1, 2, 3]", "[99999999999999999999, 1]"):
            eyes.hset("bridge.mark", "seen", text)
            [offset] = world.publish(None)
            for _ in range(3):
                assert shop.stopped() is None
            assert (eyes.hget("bridge.mark", "seen") or b"").startswith(f"[{offset}, ".encode()), text
    assert not shop.mark()["losses"]


def test_g10_a_key_of_another_type_where_the_mark_should_be_is_said_and_stops_nothing(
    redis: OwnRedis, make_shop: MakeShop, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis(port=redis.port) as eyes:
        eyes.set("bridge.mark", "mine")
    shop = make_shop(redis.url)
    handed_over(shop, world)
    assert caplog.text.count("the key bridge.mark holds something else") == 1


def test_g6_a_mark_is_replaced_only_by_who_has_read_it(redis: OwnRedis, make_shop: MakeShop, world: World) -> None:
    shop = make_shop(redis.url)
    handed_over(shop, world)
    with Redis(port=redis.port) as eyes:
        before = eyes.hget("bridge.mark", "mark")
        assert isinstance(before, bytes)
        for _ in range(5):
            shop.tick()
        keeper = shop.witness._keeper  # noqa: SLF001
        assert keeper is not None
        with keeper.taken() as taken:
            taken._raw = before  # type: ignore[attr-defined]  # noqa: SLF001 - as if it had stood still since
            from bridge.mark import Mark

            old = Mark.from_json(before)
            assert old is not None
            assert not taken.put(old)
    shop.tick()
    assert not shop.mark()["losses"]

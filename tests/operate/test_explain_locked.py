"""A stranger that holds a client's row is named, and messages that were set aside are counted (G10)."""

from __future__ import annotations

import threading

import pytest
from redis import Redis

from bridge.operate.explain.database import explain_tables
from bridge.store.locks import table_holders
from tests.conftest import Connect
from tests.operate.explaining import asked, causes, kinds, the
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.parametrize(
    "lock", ["SELECT FROM fq.clients WHERE id = 'c' FOR UPDATE", "UPDATE fq.clients SET queue = 'x'"]
)
def test_g10_who_holds_a_client_s_row_is_named_with_what_to_do(world: World, connect: Connect, lock: str) -> None:
    world.client()
    world.client("other")
    stranger = connect(autocommit=False, application_name="a psql of somebody")
    stranger.execute(lock.encode())
    wait_until(lambda: "locked" in kinds(world), timeout=60, what="it has lasted for some seconds")
    cause = the("locked", causes(world))
    assert (cause.severity, causes(world)[0].kind) == ("error", "locked")
    pid = stranger.info.backend_pid
    for said in (f"pid {pid}", "a psql of somebody", "idle in transaction", lock.split(maxsplit=1)[0]):
        assert said in cause.text
    assert cause.do is not None and f"pg_terminate_backend({pid})" in cause.do
    assert ("locked" in kinds(world, "other")) == lock.startswith("UPDATE"), "the statement has all of them"
    stranger.rollback()
    assert "locked" not in kinds(world)


def test_a_client_that_nobody_holds_is_not_locked(world: World, connect: Connect) -> None:
    world.client()
    world.publish(None)
    world.succeed(*world.hand_over())
    connect(autocommit=False).execute("SELECT FROM fq.clients FOR KEY SHARE")
    assert "locked" not in kinds(world)


def test_g10_messages_that_were_set_aside_are_counted(world: World, redis_url: str) -> None:
    world.client()
    seen = asked(redis_url, queue="fleet")
    assert seen.unreadable == 0
    assert "unreadable" not in kinds(world, seen=seen)
    with Redis.from_url(redis_url) as redis:
        redis.lpush("bridge.unreadable", b"garbage", b"more")
    cause = the("unreadable", causes(world, seen=asked(redis_url, queue="fleet")))
    assert "2 messages are set aside on queue 'bridge.unreadable'" in cause.text


def test_a_change_of_a_table_that_waits_for_a_reader_lets_nobody_read_it_and_the_reader_is_named(
    world: World, connect: Connect
) -> None:
    world.client()
    reader, altering = connect(autocommit=False), connect()
    reader.execute("SET application_name = 'a long report'")
    reader.execute("SELECT count(*) FROM fq.clients")
    thread = threading.Thread(target=altering.execute, args=("ALTER TABLE fq.clients ADD COLUMN more int",))
    thread.start()
    try:
        found = wait_until(lambda: table_holders(world.store), timeout=60, what="it waits")
        assert [(it.table, it.queued, it.holder.application) for it in found] == [("fq.clients", True, "a long report")]
        [cause] = explain_tables(found)
        assert cause.text.startswith("nobody can read fq.clients: a lock of all of it waits for the transaction of")
        assert f"pg_terminate_backend({reader.info.backend_pid})" in (cause.do or "")
    finally:
        reader.rollback()
        thread.join()
    assert table_holders(world.store) == []

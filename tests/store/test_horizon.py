"""G2: the horizon never passes an event that may still appear, and no stranger holds it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.errors import LogRewound
from bridge.store import Store
from bridge.store.horizon import advance_horizon
from tests.conftest import Connect
from tests.support.databases import Databases
from tests.support.waiting import wait_until
from tests.support.writers import PUT, Log


@pytest.fixture
def log(every_database: str, connect: Connect) -> Log:
    return Log(every_database, connect)


@pytest.fixture
def other_database(_every_databases: Databases) -> Iterator[str]:
    """Another log in the same cluster: a clone, so that its tables have the same oids."""
    with _every_databases.clone() as url:
        yield url


def test_g2_without_writers_the_horizon_is_the_last_offset_drawn(log: Log) -> None:
    assert (log.advance(), log.read()) == (-1, -1)
    log.put()
    log.put()
    assert (log.advance(), log.read()) == (2, 2)
    assert log.steps() == 0


def test_g2_an_open_insert_holds_the_horizon_until_it_is_visible(log: Log) -> None:
    log.put()
    assert log.advance() == 1
    writer = log.writer()
    log.put()
    assert (log.advance(), log.read(), log.visible()) == (1, 1, [1, 3])
    writer.execute("COMMIT")
    assert (log.advance(), log.read(), log.visible()) == (3, 3, [1, 2, 3])


def test_g2_a_writer_that_began_before_the_first_look_holds_it_too(log: Log) -> None:
    writer = log.writer()
    log.put()
    assert [log.advance() for _ in range(3)] == [-1, -1, -1]
    writer.execute("COMMIT")
    assert log.advance() == 2


def test_g2_a_rollback_frees_the_horizon_over_the_gap(log: Log) -> None:
    writer = log.writer()
    log.put()
    assert log.advance() == -1
    writer.execute("ROLLBACK")
    assert (log.advance(), log.visible()) == (2, [2])


def test_g2_a_rollback_to_a_savepoint_frees_the_horizon_while_the_transaction_goes_on(log: Log) -> None:
    writer = log.session()
    writer.execute("BEGIN")
    writer.execute("SAVEPOINT s")
    writer.execute(PUT)
    assert log.advance() == -1
    writer.execute("ROLLBACK TO s")
    assert log.advance() == 1
    writer.execute(PUT)
    assert log.advance() == 1
    writer.execute("RELEASE s")
    assert log.advance() == 1
    writer.execute("COMMIT")
    assert (log.advance(), log.visible()) == (2, [2])


def test_g2_a_writer_that_crashes_frees_the_horizon(log: Log) -> None:
    writer = log.writer()
    assert log.advance() == -1
    log.ask(f"SELECT pg_terminate_backend({writer.info.backend_pid})")
    wait_until(lambda: log.advance() == 1, what="the horizon passes what the dead writer drew")
    assert log.visible() == []


def test_g2_a_writer_of_several_statements_holds_the_horizon_at_its_first(log: Log) -> None:
    writer = log.writer()
    log.put()
    assert log.advance() == -1
    writer.execute(PUT)
    log.put()
    assert (log.advance(), log.visible()) == (-1, [2, 4])
    writer.execute("COMMIT")
    assert (log.advance(), log.visible()) == (4, [1, 2, 3, 4])


def test_g2_copy_is_a_writer_from_its_first_row_to_its_commit(log: Log) -> None:
    writer = log.session()
    writer.execute("BEGIN")
    with writer.cursor().copy("COPY fq.events (payload) FROM STDIN") as copy:
        for _ in range(20_000):  # more than any buffer on the way
            copy.write_row(["{}"])
        wait_until(lambda: log.ask("SELECT fq.last_drawn()") > 0, what="rows arrive")
        assert log.advance() == -1
    log.put()
    assert (log.advance(), log.visible()) == (-1, [20_001])
    writer.execute("COMMIT")
    assert (log.advance(), len(log.visible())) == (20_001, 20_001)


def test_g2_the_horizon_moves_with_every_writer_that_ends_and_not_only_when_all_are_gone(log: Log) -> None:
    first = log.writer()
    assert log.advance() == -1
    second = log.writer()
    log.put()
    assert log.advance() == -1
    first.execute("COMMIT")
    third = log.writer()
    assert (log.advance(), log.visible()) == (1, [1, 3])
    second.execute("COMMIT")
    assert (log.advance(), log.visible()) == (3, [1, 2, 3])
    third.execute("COMMIT")
    assert log.advance() == 4


def test_g2_writers_that_follow_each_other_without_a_gap_do_not_stall_the_horizon(log: Log) -> None:
    writer = log.writer()
    reached = []
    for _ in range(10):
        reached.append(log.advance())
        follower = log.writer()
        writer.execute("COMMIT")
        writer = follower
    assert reached == [-1, *range(1, 10)]


def test_g2_writers_that_began_after_a_long_one_wait_for_it_and_then_pass_at_once(log: Log) -> None:
    straggler = log.writer()
    for _ in range(40):
        log.put()
        assert log.advance() == -1
        assert log.steps() <= 32
    straggler.execute("COMMIT")
    assert (log.advance(), log.steps()) == (41, 0)


def test_g2_transactions_that_write_no_events_never_hold_the_horizon(
    log: Log, other_database: str, connect: Connect
) -> None:
    stranger = log.session()
    stranger.execute("CREATE TABLE public.orders (id integer)")
    stranger.execute("BEGIN")
    stranger.execute("INSERT INTO public.orders VALUES (1)")
    stranger.execute('SELECT "offset" FROM fq.events FOR UPDATE')
    client = log.session()
    client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    client.execute("SELECT pg_current_xact_id(), count(*) FROM fq.events")
    neighbour = connect(other_database)
    neighbour.execute("BEGIN")
    neighbour.execute(PUT)
    here, there = (c.execute("SELECT 'fq.events'::regclass::oid").fetchone() for c in (stranger, neighbour))
    assert here == there
    log.put()
    assert (log.advance(), log.read()) == (1, 1)


def test_g9_any_session_continues_where_another_one_left_the_horizon(log: Log) -> None:
    writer = log.writer()
    with log.session() as pump:
        pump.execute("SELECT fq.advance_horizon()")
    second = log.writer()
    writer.execute("COMMIT")
    with log.session() as pump:
        assert pump.execute("SELECT fq.advance_horizon()").fetchone() == (1,)
    second.execute("ROLLBACK")
    assert log.advance() == 2


def test_g6_two_who_move_the_horizon_at_once_neither_wait_nor_disagree(log: Log) -> None:
    log.put()
    assert log.advance() == 1
    log.put()
    with log.session() as pump, pump.transaction(force_rollback=True):
        assert pump.execute("SELECT fq.advance_horizon()").fetchone() == (2,)
        log.put()  # and no writer waits either
        assert log.advance() == 1
    assert log.advance() == 3


def test_g2_a_sequence_behind_the_horizon_stops_the_bridge_and_changes_nothing(log: Log) -> None:
    log.put()
    log.put()
    assert log.advance() == 2
    log.ask("SELECT setval(pg_get_serial_sequence('fq.events', 'offset'), 1)")
    store = Store(log.url)
    for _ in range(2):
        with pytest.raises(LogRewound, match=r"stands at 1, behind the horizon 2: .*nothing is handed over"):
            advance_horizon(store)
    store.close()
    assert log.ask('SELECT "offset" FROM fq.horizon') == 2

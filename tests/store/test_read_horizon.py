"""G2: readers that only have SQL, or only look, see the same horizon and pass over nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.operate.tail import read_events
from bridge.store import Store
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.writers import PUT, Log


@pytest.fixture
def log(every_database: str, connect: Connect) -> Log:
    return Log(every_database, connect)


def test_g2_reading_the_horizon_needs_no_bridge_and_writes_nothing(log: Log) -> None:
    log.put()
    reader = log.session()
    reader.execute("SET default_transaction_read_only = on")
    assert reader.execute("SELECT fq.read_horizon()").fetchone() == (1,)
    with log.session() as writer, writer.transaction():
        writer.execute(PUT)
        log.put()
        assert reader.execute("SELECT fq.read_horizon(1)").fetchone() == (-1,)
    assert reader.execute("SELECT fq.read_horizon()").fetchone() == (3,)
    assert log.ask('SELECT "offset" FROM fq.horizon') == -1


def test_g2_reading_the_horizon_waits_for_a_writer_that_is_about_to_commit(log: Log) -> None:
    writer, reader = log.writer(), log.session()
    with ThreadPoolExecutor(1) as pool:
        horizon = pool.submit(lambda: reader.execute("SELECT fq.read_horizon(15000)").fetchone())
        looking = f"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {reader.info.backend_pid}"
        wait_until(lambda: log.ask(looking), what="the reader waits")
        writer.execute("COMMIT")
        assert horizon.result() == (1,)


def test_g2_under_an_old_snapshot_the_horizon_is_what_was_final_in_it(log: Log) -> None:
    log.put()
    assert log.advance() == 1
    reader = log.session()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT 1 FROM fq.events")
    log.put()
    assert log.advance() == 2
    assert reader.execute("SELECT fq.read_horizon()").fetchone() == (1,)
    assert reader.execute("""SELECT "offset" FROM fq.get('reader')""").fetchall() == [(1,)]


def events_read_while_a_writer_commits(log: Log, read: Any) -> Any:
    """Let `read` begin, then let an earlier event commit, and only then let it look at the horizon."""
    writer, gate = log.writer(), log.session()
    log.put()
    gate.execute("BEGIN")
    gate.execute("LOCK TABLE fq.horizon IN ACCESS EXCLUSIVE MODE")
    stopped = "SELECT count(*) FROM pg_locks WHERE relation = 'fq.horizon'::regclass AND NOT granted"
    with ThreadPoolExecutor(1) as pool:
        events = pool.submit(read)
        wait_until(lambda: log.ask(stopped) == 1, what="the reader is at the horizon")
        writer.execute("COMMIT")
        gate.execute("COMMIT")
        return events.result()


def test_g2_get_sees_all_that_is_final_although_it_began_before(log: Log) -> None:
    reader = log.session()
    query = """SELECT "offset" FROM fq.get('reader')"""
    assert events_read_while_a_writer_commits(log, lambda: reader.execute(query.encode()).fetchall()) == [(1,)]


def test_g2_tail_shows_no_event_whose_predecessor_it_did_not_see(log: Log) -> None:
    store = Store(log.url)
    seen = events_read_while_a_writer_commits(log, lambda: list(read_events(store, after=-1)))
    store.close()
    assert [event.offset for event in seen] in ([], [1], [1, 2])

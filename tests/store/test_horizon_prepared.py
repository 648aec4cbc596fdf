"""G2: prepared transactions change their holder's name, twice, and hold the horizon all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bridge.demo.servers import postgres_versions, run_postgres
from bridge.store import Store
from bridge.store.migrate import migrate
from tests.conftest import OLDEST_POSTGRES, Connect
from tests.support.servers import need_postgres_programs
from tests.support.waiting import wait_until
from tests.support.writers import PUT, Log

VERSIONS = [version for version in postgres_versions() if version >= OLDEST_POSTGRES] or [0]


@pytest.fixture
def log(every_database: str, connect: Connect) -> Log:
    return Log(every_database, connect)


def nothing(log: Log) -> None:
    pass


@pytest.mark.parametrize("before", [Log.advance, Log.read, nothing])
@pytest.mark.parametrize(("end", "visible"), [("COMMIT PREPARED 'it'", [1, 2]), ("ROLLBACK PREPARED 'it'", [2])])
def test_g2_a_prepared_transaction_holds_the_horizon_until_it_is_decided(
    log: Log, before: Callable[[Log], object], end: str, visible: list[int]
) -> None:
    writer = log.writer()
    before(log)
    writer.execute("PREPARE TRANSACTION 'it'")
    writer.close()
    log.put()
    assert [log.advance() for _ in range(3)] == [-1, -1, -1]
    assert log.read() == -1
    log.session().execute(end.encode())
    assert (log.advance(), log.visible()) == (2, visible)


def test_g2_a_writer_that_prepares_is_found_among_prepared_strangers(log: Log) -> None:
    log.put()
    old, writer = log.writer(), log.writer()
    old.execute("PREPARE TRANSACTION 'old'")
    log.put()
    assert log.advance() == -1
    writer.execute("PREPARE TRANSACTION 'it'")
    log.session().execute("COMMIT PREPARED 'old'")
    assert (log.advance(), log.visible()) == (-1, [1, 2, 4])
    log.session().execute("COMMIT PREPARED 'it'")
    assert (log.advance(), log.visible()) == (4, [1, 2, 3, 4])


def test_g2_prepared_transactions_that_began_later_hold_a_finished_step_only_once(log: Log) -> None:
    first = log.writer()
    assert log.advance() == -1
    first.execute("COMMIT")
    log.writer().execute("PREPARE TRANSACTION 'second'")
    assert log.advance() == -1  # it may be the first one under its new name: wait for it
    log.writer().execute("PREPARE TRANSACTION 'third'")
    log.session().execute("COMMIT PREPARED 'second'")
    assert log.advance() >= 1  # but for no more, or an unbroken chain of them would stall everything
    log.session().execute("COMMIT PREPARED 'third'")
    assert (log.advance(), log.visible()) == (3, [1, 2, 3])


def test_g2_a_prepared_transaction_that_wrote_no_events_holds_nothing(log: Log) -> None:
    stranger = log.session()
    stranger.execute("CREATE TABLE public.orders (id integer)")
    stranger.execute("BEGIN")
    stranger.execute("INSERT INTO public.orders VALUES (1)")
    stranger.execute("PREPARE TRANSACTION 'stranger'")
    log.put()
    assert (log.advance(), log.read()) == (1, 1)


def test_g2_reading_the_horizon_waits_for_a_writer_that_prepares_meanwhile(log: Log) -> None:
    writer, reader = log.writer(), log.session()
    with ThreadPoolExecutor(1) as pool:
        horizon = pool.submit(lambda: reader.execute("SELECT fq.read_horizon(15000)").fetchone())
        looks = f"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {reader.info.backend_pid}"
        wait_until(lambda: log.ask(looks), what="the reader waits")
        writer.execute("PREPARE TRANSACTION 'it'")
        with pytest.raises(TimeoutError):  # not yet: it has looked again many times by then
            horizon.result(timeout=0.5)
        assert log.visible() == []
        writer.execute("COMMIT PREPARED 'it'")
        assert horizon.result() == (1,)


@pytest.mark.parametrize("known_as", ["open", "prepared", "nothing"])
@pytest.mark.parametrize("version", VERSIONS)
def test_g2_a_prepared_transaction_holds_the_horizon_across_a_crash_of_the_server(
    version: int, known_as: str, tmp_path: Path, connect: Connect
) -> None:
    need_postgres_programs()
    with run_postgres(tmp_path, version=version) as url:
        store = Store(url)
        migrate(store.engine)
        store.close()
        log = Log(url, connect)
        writer = log.writer()
        if known_as == "open":
            assert log.advance() == -1
        writer.execute("PREPARE TRANSACTION 'it'")
        if known_as == "prepared":
            assert log.advance() == -1
        os.kill(writer.info.backend_pid, signal.SIGKILL)  # one backend dies: the server restarts them all

        def restarted() -> bool:
            try:
                with psycopg.connect(url) as session:
                    return session.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (1,)
            except psycopg.OperationalError:
                return False

        wait_until(lambda: not alive(log), what="the server is down")
        wait_until(restarted, what="the server is back")
        log = Log(url, connect)
        log.session().execute(PUT)
        assert [log.advance() for _ in range(3)] == [-1, -1, -1]
        assert log.read() == -1
        log.session().execute("COMMIT PREPARED 'it'")
        assert log.advance() == max(log.visible())
        assert len(log.visible()) == 2


def alive(log: Log) -> bool:
    """Whether the session that watches the log still has its server."""
    try:
        return bool(log.ask("SELECT true"))
    except psycopg.OperationalError:
        return False

"""Sessions: which are given up, what Postgres ends by itself, and that a fail-over leaves none that is of no use."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text
from sqlalchemy.orm import Session

from bridge.errors import BridgeError, StoreLocked, StoreReadOnly, StoreUnavailable
from bridge.operate.tail import tail
from bridge.store import Store, rounds, sessions, silence
from bridge.store.events import Wanted
from bridge.store.facts import collect_facts
from bridge.store.held import hold_client
from bridge.store.horizon import advance_horizon
from bridge.store.migrate import check_schema
from bridge.store.status import read_status
from tests.conftest import Connect
from tests.support.failover import end_sessions, read_only
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World

PATIENT_SECONDS = 60.0
HANDLERS = 20  # of `-P threads -c 20`
NOT_ITS_FAULT = """25006 25P02 25P03 26000 08000 08006 08P01 57P01 57P02 57P03 57P05 58000 58030 58P01 53200 0A000
                   40001 XX000"""
ITS_FAULT = "21000 22P02 22021 23505 23514 42601 42501 40P01 55P03 57014 FQ001 P0001"
TRANSIENT = "25006 25P02 26000 0A000 08006 57P01 58030 40001 40P01"


def pid(store: Store) -> int:
    """The process of the server that the store's next statement goes to."""
    with store.reading() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def shown(store: Store, name: str) -> str:
    with store.reading() as connection:
        return str(connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())


def fail_with(store: Store, state: str) -> None:
    with pytest.raises(BridgeError), store.transaction() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$")


# Which errors cost a session -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", NOT_ITS_FAULT.split())
def test_g10_a_session_is_discarded_after_an_error_that_is_not_its_statement_s_fault(world: World, state: str) -> None:
    before = pid(world.store)
    fail_with(world.store, state)
    assert pid(world.store) != before


@pytest.mark.parametrize("state", ITS_FAULT.split())
def test_g10_a_session_is_kept_after_an_error_of_its_statement(world: World, state: str) -> None:
    before = pid(world.store)
    fail_with(world.store, state)
    assert pid(world.store) == before


@pytest.mark.parametrize("state", TRANSIENT.split())
def test_g10_what_is_nobody_s_fault_is_worth_trying_again(world: World, state: str) -> None:
    with pytest.raises(StoreUnavailable), world.store.transaction() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$")


# A fail-over ---------------------------------------------------------------------------------------------------------


def test_g10_a_database_that_was_read_only_is_served_as_soon_as_it_takes_writes(world: World) -> None:
    world.client()
    world.publish("a", "b")
    out = world.hand_over()
    with read_only(world):
        for attempt in (world.hand_over, lambda: world.succeed(*out), lambda: world.client("other")):
            with pytest.raises(StoreUnavailable):  # the first one meets a session that was ended
                attempt()
            with pytest.raises(StoreReadOnly, match="Postgres takes no writes"):
                attempt()
        check_schema(world.store.engine)
        assert [row.open for row in read_status(world.store)] == [2]
        assert collect_facts(world.store, "c").open == 2
        assert [event.offset for event in tail(world.store, Wanted())] == [1, 2]
    assert world.succeed(*out).succeeded == 2, "no session is left that takes no writes"
    world.publish("c")
    assert len(world.hand_over()) == 1


def test_g10_a_session_that_turns_out_to_be_read_only_is_used_no_more(world: World) -> None:
    with world.store.transaction() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on")
    with pytest.raises(StoreReadOnly):
        rounds.take_turn(world.store, holder="pump", seconds=1)
    rounds.take_turn(world.store, holder="pump", seconds=1)


@pytest.mark.parametrize("how", ["ended", "read-only"])
def test_g10_a_session_that_has_rested_is_looked_at_before_it_is_used(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with world.store.transaction() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on" if how == "read-only" else "SELECT 1")
    if how == "ended":
        end_sessions(world)
    monkeypatch.setattr(sessions, "RESTED_SECONDS", 0)
    assert advance_horizon(world.store) >= -1, "no error: another session took its place"


# What Postgres ends by itself ----------------------------------------------------------------------------------------


def test_g10_every_session_has_limits_that_the_server_enforces(database: str) -> None:
    store = Store(database, statement_timeout_seconds=7, connect_timeout_seconds=3, idle_seconds=21)
    assert {name: shown(store, name) for name in ("statement_timeout", "lock_timeout")} == {
        "statement_timeout": "7s",
        "lock_timeout": "7s",
    }
    assert shown(store, "idle_in_transaction_session_timeout") == "21s"
    assert int(shown(store, "tcp_keepalives_idle")) > 0
    assert shown(store, "tcp_user_timeout") not in ("0", "")
    with Session(store.handlers_engine) as session:
        handler = session.execute(text("SELECT current_setting('idle_in_transaction_session_timeout')")).scalar_one()
    assert handler == "0", "a handler may think for as long as it likes"
    store.close()


def test_g10_who_waits_for_a_lock_is_told_that_it_was_one_however_short_statements_may_be(
    world: World, connect: Connect, database: str
) -> None:
    store = Store(database, statement_timeout_seconds=2, lock_seconds=10)
    assert (shown(store, "statement_timeout"), shown(store, "lock_timeout")) == ("2s", "1800ms")
    world.client()
    connect(autocommit=False).execute("LOCK TABLE fq.clients")
    with pytest.raises(StoreLocked), store.transaction() as connection:
        hold_client(connection, "c")
    with pytest.raises(StoreLocked), store.looking(lock_seconds=10) as connection:
        hold_client(connection, "c")
    store.close()


def test_g10_a_limit_of_idle_transactions_is_longer_than_the_longest_wait_for_the_broker(database: str) -> None:
    patient, hasty = Store(database, connect_timeout_seconds=30), Store(database, connect_timeout_seconds=0.5)
    assert shown(patient, "idle_in_transaction_session_timeout") == "2min"
    assert shown(hasty, "idle_in_transaction_session_timeout") == "20s"
    patient.close()
    hasty.close()


FROZEN = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from bridge.pump.one_pass import hand_over
from bridge.store import Store
from bridge.store.horizon import advance_horizon

def send(client, deliveries):
    print("sending", flush=True)
    sys.stdin.readline()
    return []

store = Store(sys.argv[1], idle_seconds=1)
hand_over(store, "c", horizon=advance_horizon(store), limit=500, send=send)
"""


def test_g10_a_frozen_pump_loses_its_session_and_another_one_serves_the_client(world: World, database: str) -> None:
    world.client()
    world.publish("a", "b")
    with subprocess.Popen(
        [sys.executable, "-c", FROZEN, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as pump:
        try:
            assert pump.stdout is not None
            assert pump.stdout.readline() == "sending\n"
            pump.send_signal(signal.SIGSTOP)
            served = wait_until(world.hand_over, timeout=PATIENT_SECONDS, what="the client is not held any more")
            before = world.rows("deliveries", '"offset", epoch, attempt, state')
            pump.send_signal(signal.SIGCONT)
            _, said = pump.communicate("go on\n", timeout=PATIENT_SECONDS)
        finally:
            pump.kill()
    assert len(served) == 2
    assert pump.returncode == 1
    assert "StoreUnavailable" in said
    assert world.rows("deliveries", '"offset", epoch, attempt, state') == before, "it did no harm when it woke"


# A server that vanishes behind a proxy that stays up -----------------------------------------------------------------


def test_g10_a_server_that_vanished_without_a_word_is_waited_for_no_longer_than_its_statements_may_take(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LEAST_SECONDS", 0.5)
    monkeypatch.setattr(silence, "GRACE_SECONDS", 0.5)
    place = conninfo_to_dict(database)
    link = Link(int(str(place["port"])))
    store = Store(make_conninfo(database, port=link.port), statement_timeout_seconds=1)
    try:
        before = pid(store)
        link.lose()
        with ThreadPoolExecutor(1) as threads, pytest.raises(StoreUnavailable, match=r"has not answered for 1\.5 s"):
            asked = threads.submit(pid, store)
            try:
                asked.result(PATIENT_SECONDS)
            finally:
                link.cut()
        assert pid(store) != before, "the next one is asked over a new connection"
    finally:
        store.close()
        link.close()


def test_a_statement_may_take_as_long_as_it_may_while_its_server_is_there(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LEAST_SECONDS", 0.5)
    store = Store(database, statement_timeout_seconds=3)
    with store.reading() as connection:
        connection.execute(text("SELECT pg_sleep(1)"))
    store.close()


# Handlers ------------------------------------------------------------------------------------------------------------


def test_g10_as_many_handlers_have_a_transaction_at_once_as_the_worker_s_pool_runs(database: str) -> None:
    store, together = Store(database), threading.Barrier(HANDLERS)

    def handle(number: int) -> int:
        with Session(store.handlers_engine) as session, session.begin():
            session.execute(text("SELECT 1"))
            together.wait(PATIENT_SECONDS / 3)
        return number

    with ThreadPoolExecutor(HANDLERS) as threads:
        assert sorted(threads.map(handle, range(HANDLERS))) == list(range(HANDLERS))
    store.close()

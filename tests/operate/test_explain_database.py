"""What explains a standstill of everybody: the database, a lock, clocks. Beat is blamed for nothing but its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from celery import Celery

import bridge
from bridge.errors import SchemaOutdated, StoreLocked, StoreUnavailable
from bridge.operate.explain import explain
from bridge.operate.workers import WorkersSeen, ask_workers
from bridge.store.facts import ClientFacts, collect_facts
from bridge.store.horizon import advance_horizon
from bridge.store.locks import Holder
from bridge.store.migrate import check_schema
from bridge.store.status import read_status
from tests.conftest import Connect
from tests.operate.explaining import causes, kinds, the
from tests.operate.replaying import finished
from tests.support.failover import read_only
from tests.support.waiting import wait_until
from tests.support.world import World

BEAT = "celery beat"
PATIENT_SECONDS = 60.0
SOMEBODY = Holder(
    pid=7, application="psql", role="me", client=None, state="active", age_seconds=9.0, query_start=None, query=None,
    gid=None, prepared_at=None,
)  # fmt: skip
BRIDGES = WorkersSeen(answered=2, consumers=("fleet@1",), bridge_workers=("bridge@1",), messages=0)
FLEETS = WorkersSeen(answered=1, consumers=("fleet@1",), messages=0)


@pytest.fixture
def operator(database: str) -> Iterator[bridge.Operator]:
    with Celery("shop", set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, broker_url="memory://")
        with bridge.Operator(app) as operator:
            yield operator


@pytest.fixture
def quiet(world: World) -> ClientFacts:
    """A client with nothing to do; no pump has ever run."""
    finished(world, None)
    return collect_facts(world.store, "c")


@pytest.mark.parametrize(
    ("changes", "seen", "first", "beat"),
    [
        ({}, None, "no-pump", True),
        ({}, BRIDGES, "no-pump", True),
        ({}, FLEETS, "no-bridge-worker", False),
        ({}, WorkersSeen(trouble="the broker redis:// is not available"), "broker-away", False),
        ({"read_only": True, "in_recovery": False}, None, "read-only", False),
        ({"read_only": True, "in_recovery": True}, BRIDGES, "read-only", False),
        ({"drawn": -1, "horizon": 5}, BRIDGES, "rewound", False),
        ({"blockers": (SOMEBODY,)}, BRIDGES, "locked", False),
        ({"blockers": (replace(SOMEBODY, pid=None),)}, None, "locked", False),
        ({"pump_silent_seconds": 1.0, "clock_ahead_seconds": -3600.0, "clock_host": "here"}, BRIDGES, "clock", False),
        ({"pump_silent_seconds": 1.0, "clock_ahead_seconds": 0.1, "clock_host": "here"}, BRIDGES, "caught-up", False),
        ({"pump_silent_seconds": 1.0}, BRIDGES, "caught-up", False),
    ],
)
def test_g10_the_true_cause_comes_first_and_beat_is_blamed_for_no_other(
    quiet: ClientFacts, changes: dict[str, object], seen: WorkersSeen | None, first: str, beat: bool
) -> None:
    found = explain(replace(quiet, **changes), seen)  # type: ignore[arg-type]
    assert found[0].kind == first
    assert any(BEAT in (cause.do or "") for cause in found) is beat


def test_g10_the_bridge_is_not_blamed_for_a_row_that_it_holds_while_it_waits_for_somebody_else(
    quiet: ClientFacts,
) -> None:
    own = replace(SOMEBODY, pid=8, application="celery-event-bridge bridge")
    found = explain(replace(quiet, lockers=(own,), blockers=(SOMEBODY,)), BRIDGES)
    assert [cause.data["pid"] for cause in found if cause.kind == "locked"] == [7]
    alone = explain(replace(quiet, lockers=(own,)), BRIDGES)
    assert [cause.data["pid"] for cause in alone if cause.kind == "locked"] == [8]


def test_g10_a_read_only_database_is_named(world: World, operator: bridge.Operator) -> None:
    finished(world, None)
    with read_only(world):
        with pytest.raises(StoreUnavailable):  # the session that was ended
            advance_horizon(world.store)
        cause = causes(world)[0]
        assert (cause.kind, cause.severity) == ("read-only", "error")
        assert "default_transaction_read_only is on" in cause.text
        assert operator.explain("c", ask_broker=False)[0].kind == "read-only"
        assert [row.client for row in operator.status()] == ["c"]
    assert "read-only" not in kinds(world)


@pytest.mark.parametrize(
    "lock", ["LOCK TABLE fq.horizon IN EXCLUSIVE MODE", "SELECT FROM fq.horizon FOR UPDATE"], ids=["waits", "passes by"]
)
def test_g10_a_lock_that_holds_up_the_bridge_is_named_with_its_holder(
    world: World, connect: Connect, lock: str
) -> None:
    finished(world, None)
    person = connect(autocommit=False, application_name="psql")
    person.execute(lock.encode())
    world.publish(None)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(advance_horizon, world.store)
        cause = wait_until(
            lambda: next((cause for cause in causes(world) if cause.kind == "locked"), None),
            timeout=PATIENT_SECONDS,
            what="the lock is named",
        )
        assert cause is not None
        assert f"pid {person.info.backend_pid} (psql)" in cause.text
        assert f"pg_terminate_backend({person.info.backend_pid})" in (cause.do or "")
        assert "no-pump" not in kinds(world)
        person.rollback()
        waiting.result(PATIENT_SECONDS)
    assert "locked" not in kinds(world)


@contextmanager
def locked(connect: Connect, table: str) -> Iterator[int]:
    person = connect(autocommit=False, application_name="psql")
    person.execute(f"LOCK TABLE {table}".encode())
    yield person.info.backend_pid
    person.rollback()


@pytest.mark.parametrize("table", ["fq.clients", "fq.deliveries", "fq.turns"])
def test_g10_a_table_that_nobody_can_read_is_named_with_its_holder(
    world: World, operator: bridge.Operator, connect: Connect, table: str
) -> None:
    finished(world, None)
    operator.status()
    with locked(connect, table) as pid:
        [cause] = operator.explain("c", ask_broker=False)
        assert (cause.kind, cause.severity) == ("locked", "error")
        assert table in cause.text and f"pid {pid} (psql)" in cause.text
    with locked(connect, "fq.clients") as pid, pytest.raises(StoreLocked, match=rf"fq\.clients.*pid {pid} \(psql\)"):
        operator.status()
    assert [row.client for row in operator.status()] == ["c"]


def test_g10_another_version_of_the_schema_is_said_before_anything_else(
    world: World, operator: bridge.Operator
) -> None:
    world.eyes.execute("UPDATE fq.alembic_version SET version_num = '0000'")
    with pytest.raises((SchemaOutdated, bridge.BridgeError), match="the schema fq is at 0000"):
        operator.explain("c")
    with pytest.raises(bridge.BridgeError, match="the schema fq is at 0000"):
        check_schema(world.store.engine)


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//", "nothing://here", "redis://127.0.0.1:1/x", "sqs://a:b@"],
)
def test_g10_a_broker_that_can_not_be_asked_is_a_cause_and_no_error(url: str) -> None:
    with Celery("asking", broker=url, set_as_current=False) as app:
        found = ask_workers(app, queue="q", bridge_queue="bridge", timeout_seconds=0.2)
    assert found.trouble


@pytest.mark.parametrize(("url", "said"), [(None, True), ("amqp://127.0.0.1:1//", False)])
def test_a_broker_that_is_not_set_is_named_as_the_reason(url: str | None, said: bool) -> None:
    with Celery("asking", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"port": 1}
        found = ask_workers(app, queue="q", bridge_queue="bridge", timeout_seconds=0.2)
    assert ("no broker is set (broker_url, or CELERY_BROKER_URL)" in str(found.trouble)) is said


def test_g10_a_broker_that_is_away_is_no_reason_to_ask_for_beat(world: World) -> None:
    finished(world, None)
    found = causes(world, seen=WorkersSeen(trouble="the broker is not available"))
    assert found[0].kind == "broker-away"
    assert the("caught-up", found)


def test_a_scheduled_event_that_is_late_is_named(world: World) -> None:
    world.client()
    world.eyes.execute("INSERT INTO fq.scheduled (due_at, topic) VALUES (now() + interval '1 hour', 'a')")
    assert "scheduled-late" not in kinds(world)
    world.eyes.execute("INSERT INTO fq.scheduled (due_at, topic) VALUES (now() - interval '3 hours', 'a')")
    cause = the("scheduled-late", causes(world))
    assert cause.severity == "warning" and "it was due 3 h ago" in cause.text and "refused" not in cause.text
    world.eyes.execute("UPDATE fq.scheduled SET held_until = now() - interval '1 second' WHERE due_at < now()")
    assert "Postgres refused to append it" in the("scheduled-late", causes(world)).text
    [row] = read_status(world.store)
    assert row.scheduled == 2 and 10_800 <= row.scheduled_late_seconds < 14_400

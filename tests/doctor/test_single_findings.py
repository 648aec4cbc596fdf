"""The doctor finds one thing at a time, of servers, processes and clients; a server that is away is a finding, too."""

from __future__ import annotations

import json
import os
import signal

import psycopg
import pytest
from celery import Celery
from kombu import Connection
from psycopg import sql
from redis import Redis

import bridge
from bridge.broker.checkup import look_at_broker
from bridge.demo.servers.server import free_port
from bridge.mark import Mark
from bridge.operate.doctor import CHECKS
from bridge.store import Store, rounds
from bridge.store.checkup import contradiction, look_at_processes
from bridge.store.migrate import migrate
from tests.doctor.clinic import Clinic
from tests.store.test_pooler import at
from tests.support.pgbouncer import PoolMode, pgbouncer
from tests.support.world import World

ALWAYS = {"database", "broker", "celery"}  # these say something, whoever is away


def bill(event: object) -> None: ...


def test_a_database_that_takes_no_writes_or_acknowledges_too_early_is_found(clinic: Clinic) -> None:
    def with_option(option: str) -> str:
        return f"{clinic.database}?options=-c%20{option.replace('=', '%3D')}"

    early = clinic.complaints(bridge_database_url=with_option("synchronous_commit=off"))
    assert early == {"durability": "warning"}
    closed = clinic.complaints(bridge_database_url=with_option("default_transaction_read_only=on"))
    assert closed == {"database": "at-risk", "pump": "unknown"}


def test_a_sequence_that_was_set_back_is_found_and_the_pump_is_not_blamed(clinic: Clinic) -> None:
    clinic.world.publish("a", "b")
    [last] = clinic.eyes.execute('SELECT max("offset") FROM fq.events').fetchone() or ()
    with clinic.sql("SELECT setval('fq.events_offset_seq', 1)", f"SELECT setval('fq.events_offset_seq', {last})"):
        assert clinic.complaints() == {"sequence": "at-risk", "pump": "unknown"}


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_a_schema_of_another_version_is_found_and_what_rests_on_it_is_not_looked_at(
    clinic: Clinic, revision: str
) -> None:
    was = clinic.eyes.execute("SELECT version_num FROM fq.alembic_version").fetchone()
    assert was is not None
    put = "UPDATE fq.alembic_version SET version_num = '{}'"
    with clinic.sql(put.format(revision), put.format(was[0])):
        found = clinic.examine()
    assert [(it.check, it.level) for it in found if it.level in ("at-risk", "warning")] == [("schema", "at-risk")]
    assert found[0].do is not None and ("eventbridge migrate" in found[0].do or "upgrade" in found[0].do)


def test_a_role_that_may_not_do_what_a_bridge_worker_does_is_found(clinic: Clinic) -> None:
    names = sql.Identifier(f"doctor_{os.getpid()}")
    create = sql.SQL("CREATE ROLE {} LOGIN IN ROLE fq_monitor").format(names)
    drop = sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(names)
    clinic.eyes.execute(create)
    try:
        url = clinic.database.replace("postgres@", f"doctor_{os.getpid()}@")
        assert clinic.complaints(bridge_database_url=url) == {}  # a monitor may look, and is no bridge worker
        clinic.eyes.execute(sql.SQL("REVOKE fq_monitor FROM {}").format(names))
        clinic.eyes.execute(sql.SQL("GRANT USAGE ON SCHEMA fq TO {0}").format(names))
        clinic.eyes.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA fq TO {0}").format(names))
        clinic.eyes.execute(sql.SQL("REVOKE SELECT ON fq.clients FROM {0}").format(names))
        found = clinic.examine(bridge_database_url=url)
        assert [it.check for it in found if it.level == "at-risk"] == ["roles"]
        assert "SELECT on fq.clients" in found[0].data["lacks"]
        assert found[0].do is not None and "GRANT fq_bridge TO" in found[0].do
    finally:
        clinic.eyes.execute(drop)


@pytest.mark.parametrize(
    ("mode", "size", "complaint"),
    [
        pytest.param("transaction", 3, {}, marks=pytest.mark.slow),
        pytest.param("session", 5, {}, marks=pytest.mark.slow),
        pytest.param("session", 1, {"pooler": "at-risk"}, marks=pytest.mark.slow),
        ("transaction", 1, {"pooler": "at-risk"}),
        ("statement", 3, {"pooler": "at-risk"}),
    ],
)
def test_a_pooler_that_can_not_work_is_found_and_one_that_can_is_not(
    clinic: Clinic, mode: PoolMode, size: int, complaint: dict[str, str]
) -> None:
    with pgbouncer(clinic.database, mode=mode, size=size) as port:
        found = clinic.examine(bridge_database_url=at(clinic.database, port))
    [said] = [it.text for it in found if it.check == "pooler"]
    assert {it.check: it.level for it in found if it.level in ("at-risk", "warning")} == complaint, said
    assert "one server session" in said if (mode, size) == ("transaction", 1) else mode in said


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("mode", "said"), [("transaction", "one server session"), ("session", "in session mode")])
def test_a_pool_of_one_session_is_found_where_the_pooler_itself_ends_a_query_that_waits(
    clinic: Clinic, mode: PoolMode, said: str
) -> None:
    with pgbouncer(clinic.database, mode=mode, size=1, more={"query_timeout": 1, "query_wait_timeout": 1}) as port:
        found = clinic.examine(bridge_database_url=at(clinic.database, port))
    assert {it.check: it.level for it in found if it.level in ("at-risk", "warning")} == {"pooler": "at-risk"}
    assert said in next(it.text for it in found if it.check == "pooler")


def test_two_beats_are_found(clinic: Clinic) -> None:
    row = clinic.eyes.execute("SELECT holder FROM fq.turns WHERE starts_with(name, 'beat ')").fetchone()
    assert row is not None and row[0].startswith("gen")  # the origin of the messages of a real beat
    with clinic.sql("SELECT", "DELETE FROM fq.turns WHERE name = 'beat gen1@elsewhere'"):
        for beat in ("gen1@elsewhere", row[0]):
            rounds.note_beat(clinic.world.store, beat=beat, seconds=rounds.BEAT_HOLDS_SECONDS)
        assert clinic.complaints() == {"beats": "warning"}


def test_a_beat_that_took_the_place_of_another_is_no_second_one(world: World) -> None:
    def at_once() -> list[str]:
        with world.store.reading() as connection:
            return list(look_at_processes(connection, bridge="bridge").beats)

    def note(beat: str) -> None:
        rounds.note_beat(world.store, beat=beat, seconds=rounds.BEAT_HOLDS_SECONDS)

    note("old")
    note("new")
    note("new")
    assert at_once() == []
    note("old")
    assert at_once() == ["new", "old"]


def test_clocks_that_differ_are_found(clinic: Clinic) -> None:
    with clinic.sql("SELECT", "DELETE FROM fq.turns WHERE name = 'tick'"):
        rounds.note_tick(clinic.world.store, host="far-away", clock=0)
        assert clinic.complaints() == {"clocks": "warning"}


def test_a_client_that_halted_and_what_it_parked_are_found(clinic: Clinic) -> None:
    with clinic.client(topics=("#",)):
        clinic.eyes.execute("UPDATE fq.clients SET state = 'halted', state_reason = 'e' WHERE id = 'patient'")
        assert clinic.complaints() == {"clients": "at-risk"}


def test_a_client_that_the_code_does_not_declare_is_found_where_it_declares_any(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.declare._declared", {})
    with Celery("declaring", set_as_current=False) as app:
        bridge.client("billing")(app.task(name="shop.bill", shared=False, lazy=False)(bill))
        assert clinic.complaints() == {"unused": "warning"}


def test_a_broker_that_serves_another_log_is_found_before_a_pump_runs_there(clinic: Clinic) -> None:
    name = "other_log"
    clinic.eyes.execute(f"CREATE DATABASE {name}".encode())
    url = f"{clinic.database.rpartition('/')[0]}/{name}"
    try:
        migrate(url)
        found = clinic.examine(bridge_database_url=url)
        assert {it.check: it.level for it in found if it.level != "ok"} == {"marks": "at-risk", "pump": "unknown"}
        assert found[0].do is not None and "bridge_queue" in found[0].do
    finally:
        clinic.eyes.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_redis_that_does_not_tell_everything_is_asked_for_the_rest(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "quiet", "on", ">p", "~*", "&*", "+@all", "-info", "-config", "-time")
        client.execute_command("ACL", "SETUSER", "quiet", "-client|list")
    try:
        with Connection(redis_url.replace("redis://", "redis://quiet:p@")) as connection:
            seen = look_at_broker(connection, queues=(), seconds=1)
    finally:
        with Redis.from_url(redis_url) as client:
            client.execute_command("ACL", "DELUSER", "quiet")
    assert (seen.kind, seen.version, seen.clock_ahead_seconds) == ("redis", "", None)
    assert seen.redis is not None
    assert (seen.redis.policy, seen.redis.saves, seen.redis.pollers) == (None, None, None)


def test_the_secret_is_as_old_as_its_last_change(world: World) -> None:
    world.eyes.execute("UPDATE fq.settings SET set_at = '2020-01-01', value = value")
    age = "SELECT now() - set_at > interval '1 year' FROM fq.settings"
    assert world.eyes.execute(age).fetchone() == (True,)
    world.eyes.execute("UPDATE fq.settings SET value = 'another'")
    assert world.eyes.execute(age).fetchone() == (False,)


def test_a_mark_that_is_ahead_is_found(clinic: Clinic) -> None:
    store = Store(clinic.database)
    mark = json.loads(clinic.broker.ask("HGET", "bridge.mark", "mark"))
    found = Mark.from_json(json.dumps(mark))
    ahead = Mark.from_json(json.dumps(mark | {"count": mark["count"] + 1_000_000}))
    assert found is not None and ahead is not None
    assert contradiction(store, found, bridge="bridge") == ""
    assert contradiction(store, ahead, bridge="bridge") == "mark-ahead"
    store.close()


def test_servers_that_are_away_are_findings_and_no_errors(clinic: Clinic) -> None:
    for settings, check in (
        ({"broker_url": f"redis://127.0.0.1:{free_port()}/0"}, "broker"),
        ({"bridge_database_url": f"postgresql://postgres@127.0.0.1:{free_port()}/x"}, "database"),
        ({"bridge_database_url": ""}, "database"),
    ):
        found = clinic.examine(**settings)
        assert [it.check for it in found if it.level in ("at-risk", "warning")] == [check]
        assert {it.check for it in found} == {it.name for it in CHECKS}
        assert all(it.text.startswith("not looked at: ") or it.check in ALWAYS for it in found if it.level != "ok")


@pytest.mark.slow
def test_servers_that_are_frozen_are_findings_within_a_time(clinic: Clinic, database: str) -> None:
    backend = psycopg.connect(database)
    postmaster = backend.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert postmaster is not None
    pid = int(str(postmaster[0]).split()[0])
    backend.close()
    redis = int(clinic.broker.ask("INFO", "server")["process_id"])
    for frozen, settings, check in ((pid, {"bridge_database_url": database}, "database"), (redis, {}, "broker")):
        os.kill(frozen, signal.SIGSTOP)
        try:
            assert check in [it.check for it in clinic.examine(**settings) if it.level == "at-risk"]
        finally:
            os.kill(frozen, signal.SIGCONT)

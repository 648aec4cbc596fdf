"""Whatever the database is like, each command says in one line what is wrong and what to do, and ends with 1."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from bridge.command import bridge
from bridge.store.migrate import VERSIONS, _revisions
from tests.command.running import runner
from tests.conftest import Connect
from tests.support.clusters import clusters, free_port
from tests.support.world import World

# A call of every command that needs the database.
CALLS = (
    "register d --task t",
    "clients",
    "status",
    "explain c --offline",
    "tail",
    "show 1",
    "parked",
    "journal",
    "audit c",
    "health --timeout 0.5",
    "publish a",
    "pause c",
    "resume c",
    "remove c --yes",
    "seek c --to end --yes",
    "replay c --from 1",
    "redrive c --all",
    "discard c --all --yes",
    "recall c",
    "resync --above 7 --yes",
    "scheduled",
    "prune --keep 1",
    "release c --reason gone",
    "hold backup --from 5 --for 10m",
    "erase --key k --yes",
)
AWAY = f"postgresql://postgres@127.0.0.1:{free_port()}/x"


def troubles(url: str, *calls: str) -> dict[str, str]:
    """Return what each call said; each has ended with 1, and said one thing on one line."""
    run, told = runner(url), {}
    for words in calls:
        result = run(*words.split())
        line = result.stdout if words.startswith("health") else result.stderr
        assert (result.exit_code, line.count("\n")) == (1, 1), (words, result.output, result.exception)
        told[words] = line
    return told


def test_a_command_is_tried_or_needs_no_database() -> None:
    tried = {words.split()[0] for words in CALLS}
    assert set(bridge.commands) - tried == {"migrate", "doctor", "exporter", "demo", "about"}


def test_an_empty_database_has_to_be_migrated(empty_database: str) -> None:
    for words, line in troubles(empty_database, *CALLS).items():
        assert "the database has no schema fq yet: run `bridge migrate`" in line, words


def test_an_older_schema_has_to_be_migrated(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.store.migrate._revisions", lambda: ["0001", "0002"])
    for words, line in troubles(database, *CALLS).items():
        assert "the schema fq is at 0001, this code needs 0002: run `bridge migrate`" in line, words


def test_a_newer_schema_needs_a_newer_package(world: World, database: str) -> None:
    world.eyes.execute("UPDATE fq.alembic_version SET version_num = '9999'")
    for words, line in troubles(database, *CALLS, "migrate").items():
        assert "newer than this code (0001): upgrade celery-event-bridge here" in line, words


def test_a_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    way_out = "are host, user, password and database in bridge_database_url right?"
    for words, line in troubles(AWAY, *CALLS, "migrate").items():
        assert "Postgres is not available" in line and way_out in line, words


@pytest.fixture
def stranger(world: World, database: str) -> Iterator[str]:
    """The URL of a role that may do nothing with the schema but find it."""
    name = sql.Identifier(f"stranger_{world.eyes.info.dbname}")
    world.eyes.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    world.eyes.execute(sql.SQL("GRANT USAGE ON SCHEMA fq TO {}").format(name))
    yield database.replace("postgres@", f"stranger_{world.eyes.info.dbname}@")
    world.eyes.execute(sql.SQL("REVOKE ALL ON SCHEMA fq FROM {}").format(name))
    world.eyes.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_role_without_rights_is_told_which_role_has_them(stranger: str) -> None:
    for words, line in troubles(stranger, *CALLS).items():
        assert "permission denied" in line and "`bridge migrate --roles`" in line, words


LOOKS = ("clients", "status", "tail", "parked", "journal", "scheduled", "explain c --offline", "audit c")
WRITES = ("register d --task t", "publish a", "pause c", "redrive c --all", "recall c", "hold b --from 5 --for 1h")


def looked_and_wrote(url: str) -> None:
    for words in LOOKS:
        result = runner(url)(*words.split())
        assert (result.exit_code, result.stderr) == (0, ""), (words, result.output, result.exception)
        if words == "status":
            assert "stopped: Postgres takes no writes: " in result.stdout
    for words, line in troubles(url, *WRITES, "health --timeout 2").items():
        assert "takes no writes" in line and "let bridge_database_url name the primary" in line, words


def test_a_database_that_is_read_only_is_named_first_of_all(world: World, database: str) -> None:
    world.client()
    looked_and_wrote(f"{database}?options=-c%20default_transaction_read_only%3Don")


def test_who_may_not_use_the_schema_is_not_told_to_be_let_create_in_it(
    database: str, stranger: str, world: World
) -> None:
    name = sql.Identifier(f"stranger_{world.eyes.info.dbname}")
    world.eyes.execute(sql.SQL("REVOKE USAGE ON SCHEMA fq FROM {}").format(name))
    for words, line in troubles(stranger, "status", "publish a", "health --timeout 2").items():
        assert "may not use it" in line and "`bridge migrate --roles`" in line and "CREATE" not in line, words


@pytest.mark.slow
def test_a_hot_standby_can_be_looked_at_and_not_written_to() -> None:
    with clusters() as place:
        port, replica = free_port(), free_port()
        primary = place.start(place.make("primary"), port)
        run = runner(primary)
        for words in ("migrate", "register c --task t", "publish a"):
            assert run(*words.split()).exit_code == 0, words
        place.run("pg_basebackup", "-D", str(place.home / "replica"), "-R", "-X", "stream", "-d", primary)
        looked_and_wrote(place.start(place.home / "replica", replica))


def test_a_lock_is_waited_for_for_some_seconds_and_its_holder_is_named(
    world: World, database: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.command.project.LOCK_SECONDS", 0.5)
    monkeypatch.setattr("bridge.store.migrate.LOOK_LOCK_SECONDS", 0.5)
    monkeypatch.setattr("bridge.store.locks.LOCKED_SECONDS", 0.0)
    world.client()
    locks = {
        "LOCK TABLE fq.alembic_version": ("status", "publish a", "clients"),
        "LOCK TABLE fq.clients": ("clients", "parked c"),
        "LOCK TABLE fq.journal": ("journal",),
        "SELECT FROM fq.clients WHERE id = 'c' FOR UPDATE": ("pause c", "recall c"),
    }
    for lock, calls in locks.items():
        person: psycopg.Connection[object] = connect(autocommit=False, application_name="psql")
        person.execute(lock.encode())
        for words, line in troubles(database, *calls).items():
            assert f"pid {person.info.backend_pid} (psql)" in line, (words, line)
            assert "pg_terminate_backend" in line and "fq." in line, words
        explained = runner(database)("explain", "c", "--offline")
        if "alembic" in lock or lock == "LOCK TABLE fq.clients":
            assert f"pid {person.info.backend_pid} (psql)" in explained.stdout, (lock, explained.output)
            [sick] = troubles(database, "health --timeout 2").values()
            assert f"not healthy: nobody can read fq.{lock.rpartition('.')[2]}: the transaction" in sick
            assert f"pg_terminate_backend({person.info.backend_pid})" in sick and "pump" not in sick
            examined = json.loads(runner(database)("doctor", "--timeout", "2", "--json").stdout)
            [found] = [it for it in examined["findings"] if it["check"] == "database"]
            assert f"pid {person.info.backend_pid} (psql)" in found["text"] and "terminate" in found["do"], found
        person.rollback()


def test_the_revisions_are_those_that_alembic_knows() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    known = [it.revision for it in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    assert _revisions() == known

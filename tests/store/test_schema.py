"""The schema: the migrations lead to the schema as it is now, run once however often they start, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import Engine

from bridge.errors import SchemaError, SchemaForeign, SchemaMissing, SchemaOutdated, SchemaTooNew
from bridge.sql import schema
from bridge.store import Store
from bridge.store import migrate as migrations
from bridge.store.handover import MESSAGE_COLUMNS
from bridge.store.migrate import check_schema, migrate
from tests.conftest import Connect
from tests.support.waiting import wait_until

OURS = "n.nspname = 'fq' AND c.relname NOT LIKE 'alembic_version%'"
CATALOGS = {
    "relations": f"""
        SELECT c.relname, c.relkind, c.relpersistence, c.reloptions, c.relacl, pg_get_userbyid(c.relowner)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}""",
    "columns": f"""
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               a.attgenerated, l.collname, pg_get_expr(d.adbin, d.adrelid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE {OURS} AND c.relkind IN ('r', 'p', 'v')""",
    "constraints": f"""
        SELECT c.relname, o.conname, o.contype, pg_get_constraintdef(o.oid)
          FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OURS}""",
    "types": """
        SELECT t.typname, format_type(t.typbasetype, t.typtypmod), t.typacl, o.conname, pg_get_constraintdef(o.oid)
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_constraint o ON o.contypid = t.oid
         WHERE n.nspname = 'fq' AND t.typtype = 'd'""",
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
          FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OURS}""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'fq'""",
    "triggers": f"""
        SELECT c.relname, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid)
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OURS} AND NOT t.tgisinternal""",
    "sequences": """
        SELECT sequencename, data_type::text, start_value, increment_by, cycle, cache_size
          FROM pg_sequences WHERE schemaname = 'fq'""",
    "first rows": """
        SELECT 'horizon', to_jsonb(h) - 'updated_at' FROM fq.horizon h
         UNION ALL SELECT 'settings', to_jsonb(name) FROM fq.settings""",
}
EVERYTHING = """
    SELECT n.nspname, c.relname, c.xmin::text FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2"""
MIGRATE = """
import sys
from bridge.store import Store
from bridge.store.migrate import migrate
print(migrate(Store(sys.argv[1]).engine))
"""

EngineOf = Callable[[str], Engine]


@pytest.fixture
def engine_of() -> Iterator[EngineOf]:
    stores: list[Store] = []

    def engine_of(url: str) -> Engine:
        stores.append(Store(url))
        return stores[-1].engine

    yield engine_of
    for store in stores:
        store.close()


def rows(connection: psycopg.Connection[Any], statement: str) -> list[str]:
    return sorted(map(repr, connection.execute(statement.encode()).fetchall()))


@pytest.mark.parametrize("catalog", CATALOGS)
def test_the_migrations_lead_to_the_schema_as_it_is_now(
    database: str, empty_database: str, connect: Connect, catalog: str
) -> None:
    present = connect(empty_database)
    present.execute("CREATE SCHEMA fq")
    present.execute(schema().encode())
    assert rows(present, CATALOGS[catalog])
    assert rows(connect(database), CATALOGS[catalog]) == rows(present, CATALOGS[catalog])


def test_g2_offsets_are_drawn_one_by_one_and_only_by_inserts(connect: Connect) -> None:
    offset = connect().execute(
        """SELECT s.cache_size, s.increment_by, s.cycle, a.attidentity
             FROM pg_attribute a, pg_sequences s
            WHERE a.attrelid = 'fq.events'::regclass AND a.attname = 'offset'
              AND format('%I.%I', s.schemaname, s.sequencename) = pg_get_serial_sequence('fq.events', 'offset')"""
    )
    assert offset.fetchall() == [(1, 1, False, "a")]


def test_migrating_again_changes_nothing(empty_database: str, connect: Connect, engine_of: EngineOf) -> None:
    engine, world = engine_of(empty_database), connect(empty_database)
    applied = migrate(engine)
    assert applied
    before = rows(world, EVERYTHING)
    assert migrate(engine) == []
    assert rows(world, EVERYTHING) == before
    check_schema(engine)
    assert rows(world, "SELECT version_num FROM fq.alembic_version") == [repr((applied[-1],))]


def test_the_bridge_leaves_nothing_outside_of_its_schema(
    empty_database: str, connect: Connect, engine_of: EngineOf
) -> None:
    migrate(engine_of(empty_database))
    outside = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert rows(connect(empty_database), outside) == []


def test_two_machines_that_migrate_at_once_do_the_work_once(empty_database: str, connect: Connect) -> None:
    admin, blocker = connect(empty_database), connect(empty_database, autocommit=False)
    blocker.execute("CREATE SCHEMA fq")  # not committed: whoever wants to create it waits for us
    command = [sys.executable, "-c", MIGRATE, empty_database]
    machines = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    waiting = (
        """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    )

    def both_wait() -> bool:
        assert all(machine.poll() is None for machine in machines), machines[0].communicate()
        return admin.execute(waiting).fetchone() == (2,)

    try:
        wait_until(both_wait, what="both wait", timeout=60)
        blocker.rollback()
        ended = [(*machine.communicate(timeout=60), machine.returncode) for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
            machine.communicate()
    assert [(errors, code) for _, errors, code in ended] == [("", 0)] * 2
    assert sorted(out for out, _, _ in ended) == sorted(["[]\n", f"{migrations._revisions()}\n"])


def test_a_migration_that_fails_half_way_leaves_nothing(
    empty_database: str, connect: Connect, engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, whole = connect(empty_database), schema()
    before = rows(world, EVERYTHING)
    monkeypatch.setattr("bridge.sql.schema", lambda: f"{whole}; SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(engine_of(empty_database))
    assert rows(world, EVERYTHING) == before
    monkeypatch.undo()
    assert migrate(engine_of(empty_database))


def refused(engine: Engine, what: Callable[[Engine], object], error: type[SchemaError], match: str) -> None:
    """Assert that `what` raises `error` and changes nothing."""
    with engine.connect() as connection:
        before = connection.exec_driver_sql(EVERYTHING.replace("%", "%%")).all()
    with pytest.raises(error, match=match) as raised:
        what(engine)
    assert type(raised.value) is error
    with engine.connect() as connection:
        assert connection.exec_driver_sql(EVERYTHING.replace("%", "%%")).all() == before


def test_a_schema_that_is_missing_says_how_to_make_it(empty_database: str, engine_of: EngineOf) -> None:
    refused(engine_of(empty_database), check_schema, SchemaMissing, "no schema fq yet: run .*bridge migrate")


def test_a_schema_that_is_older_than_the_code_says_so(
    database: str, engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations._revisions()
    monkeypatch.setattr(migrations, "_revisions", lambda: [*known, "later"])
    refused(
        engine_of(database), check_schema, SchemaOutdated, f"is at {known[-1]}, .*needs later: run .*bridge migrate"
    )


@pytest.mark.parametrize("what", [check_schema, migrate])
def test_a_schema_that_is_newer_than_the_code_is_left_alone(
    database: str, connect: Connect, engine_of: EngineOf, what: Callable[[Engine], object]
) -> None:
    connect().execute("UPDATE fq.alembic_version SET version_num = '9999'")
    refused(engine_of(database), what, SchemaTooNew, "is at 9999, newer than this code")


@pytest.mark.parametrize("what", [check_schema, migrate])
def test_a_schema_fq_of_somebody_else_is_left_alone(
    empty_database: str, connect: Connect, engine_of: EngineOf, what: Callable[[Engine], object]
) -> None:
    world = connect(empty_database)
    world.execute("CREATE SCHEMA fq")
    world.execute("CREATE TABLE fq.quality (id integer)")
    refused(engine_of(empty_database), what, SchemaForeign, r"holds 1 object that is not the bridge's \(owner ")


def test_a_server_that_is_too_old_is_refused(
    empty_database: str, engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "OLDEST_SERVER", 990000)
    refused(engine_of(empty_database), migrate, SchemaForeign, "the bridge needs")
    refused(engine_of(empty_database), check_schema, SchemaForeign, "the bridge needs")


@pytest.mark.parametrize(
    "granted",
    [
        "USAGE",
        "nothing",
    ],
)
def test_a_schema_fq_that_this_role_may_not_fill_says_what_to_grant(
    empty_database: str, connect: Connect, engine_of: EngineOf, granted: str
) -> None:
    role, world = f"bridge_test_{os.getpid()}", connect(empty_database)
    world.execute("CREATE SCHEMA fq")
    world.execute(f"CREATE ROLE {role}".encode())
    try:
        if granted == "USAGE":
            world.execute(f"GRANT USAGE ON SCHEMA fq TO {role}".encode())
        engine = engine_of(f"{empty_database}?options={quote(f'-c role={role}')}")
        refused(engine, migrate, SchemaForeign, f"GRANT CREATE, USAGE ON SCHEMA fq TO {role}")
    finally:
        world.execute(f"DROP OWNED BY {role}".encode())
        world.execute(f"DROP ROLE {role}".encode())


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@pytest.mark.parametrize("what", [check_schema, migrate])
def test_g10_a_database_that_is_not_utf8_is_refused(
    postgres_url: str, connect: Connect, engine_of: EngineOf, encoding: str, what: Callable[[Engine], object]
) -> None:
    admin, name = connect(postgres_url), f"bridge_test_{os.getpid()}_{encoding.lower()}"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'".encode())
    try:
        engine = engine_of(postgres_url.rpartition("/")[0] + f"/{name}")
        refused(engine, what, SchemaForeign, f"has the encoding {encoding}: the bridge needs UTF8")
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_rows_of_messages_are_unpacked_in_the_order_of_their_type(database: str, connect: Connect) -> None:
    columns = connect(database).execute(
        "SELECT a.attname FROM pg_attribute a JOIN pg_type t ON t.typrelid = a.attrelid"
        " WHERE t.oid = 'fq.message'::regtype AND a.attnum > 0 ORDER BY a.attnum"
    )
    assert tuple(name for (name,) in columns) == MESSAGE_COLUMNS

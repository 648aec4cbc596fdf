"""A schema `fq` that somebody made before us lets nobody run code as who migrates, and no lock of his holds that up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from bridge.errors import SchemaForeign, StoreLocked
from bridge.store import Store
from bridge.store import migrate as migrations
from bridge.store.migrate import check_schema, migrate
from tests.conftest import Connect

TRAP = """
CREATE SEQUENCE fq.sprung; GRANT ALL ON SEQUENCE fq.sprung TO PUBLIC; GRANT ALL ON SCHEMA fq TO PUBLIC;
CREATE FUNCTION fq.trap() RETURNS text LANGUAGE sql AS $$ SELECT '0001' FROM nextval('fq.sprung') $$;
"""
VIEW = "CREATE VIEW fq.alembic_version AS SELECT fq.trap() AS version_num; GRANT ALL ON fq.alembic_version TO PUBLIC;"
TABLE = """
CREATE TABLE fq.alembic_version (version_num text); INSERT INTO fq.alembic_version VALUES ('0001');
GRANT ALL ON fq.alembic_version TO PUBLIC;
"""

Evil = psycopg.Connection[object]


@pytest.fixture
def evil(empty_database: str, connect: Connect) -> Iterator[Evil]:
    """Connect as a role that may make schemas in an empty database, and no more."""
    admin, name = connect(empty_database), f"bridge_test_{os.getpid()}_evil"
    admin.execute(f"CREATE ROLE {name} LOGIN".encode())
    admin.execute(f"GRANT CREATE ON DATABASE {admin.info.dbname} TO {name}".encode())
    yield connect(empty_database, user=name)
    admin.execute(f"DROP OWNED BY {name} CASCADE".encode())
    admin.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    store = Store(empty_database)
    yield store.engine
    store.close()


@pytest.mark.parametrize(("what", "made"), [(migrate, ""), (migrate, VIEW), (migrate, TABLE), (check_schema, VIEW)])
def test_g10_no_schema_that_somebody_else_has_made_is_used(
    evil: Evil, engine: Engine, made: str, what: Callable[[Engine], object]
) -> None:
    evil.execute(f"CREATE SCHEMA fq; {TRAP} {made}".encode())
    with pytest.raises(SchemaForeign, match=rf"owned by {evil.info.user}, who could run code|holds \d+ objects"):
        what(engine)
    assert evil.execute("SELECT is_called FROM fq.sprung").fetchone() == (False,)


def test_g10_functions_and_types_in_a_schema_of_ours_are_somebody_else_s_too(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA fq")
        connection.exec_driver_sql(
            "CREATE FUNCTION fq.holders(integer) RETURNS text[] LANGUAGE sql AS 'SELECT CAST(NULL AS text[])'"
        )
    with pytest.raises(SchemaForeign, match="holds 1 object that is not the bridge's"):
        migrate(engine)


@pytest.mark.parametrize("owner", ["of the schema", "of the database"])
def test_a_schema_that_the_database_s_owner_has_made_for_us_is_filled(
    evil: Evil, empty_database: str, connect: Connect, owner: str
) -> None:
    admin, name = connect(empty_database), evil.info.user
    evil.execute("CREATE SCHEMA fq")
    if owner == "of the database":
        admin.execute(f"ALTER DATABASE {admin.info.dbname} OWNER TO {name}".encode())
        assert migrate(empty_database) == ["0001"]
        assert migrate(empty_database) == []
        admin.execute(f"ALTER DATABASE {admin.info.dbname} OWNER TO CURRENT_USER".encode())
    else:
        assert migrate(f"{empty_database}?user={name}") == ["0001"]
        assert migrate(f"{empty_database}?user={name}") == []


def test_g10_who_may_only_connect_can_t_hold_up_a_migration(evil: Evil, engine: Engine) -> None:
    evil.execute("SELECT pg_advisory_lock(hashtext('celery-event-bridge migrations'))")
    assert migrate(engine) == ["0001"]
    assert migrate(engine, roles=True) == []


def test_g10_no_statement_of_ours_waits_for_a_lock_that_everybody_may_take() -> None:
    package = Path(str(files("bridge")))
    found = [path for end in ("py", "sql") for path in package.rglob(f"*.{end}") if "pg_advisory" in path.read_text()]
    assert found == []


def test_a_migration_that_waits_for_another_one_says_so(
    engine: Engine, connect: Connect, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(engine)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.3)
    other = connect(empty_database, autocommit=False)
    other.execute("LOCK TABLE fq.alembic_version IN EXCLUSIVE MODE")
    assert migrate(engine) == [], "there is nothing to do"
    check_schema(engine)
    with pytest.raises(StoreLocked):
        migrate(engine, roles=True)
    other.rollback()
    assert migrate(engine, roles=True) == []

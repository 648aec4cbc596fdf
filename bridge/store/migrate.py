"""Bring the schema `fq` up to this code, and say when the two do not fit.

Migrations run in one transaction under a lock that only who may migrate can take. So two machines that migrate at once
do the work once, and a migration that dies half way leaves nothing. They only go forward.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery
from sqlalchemy import Connection, Engine, Executable, text
from sqlalchemy.exc import DBAPIError

from bridge.errors import SchemaForeign, SchemaMissing, SchemaOutdated, SchemaTooNew
from bridge.settings.bridge import BridgeSettings
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.driver_errors import WITHOUT_RIGHTS, translated
from bridge.store.locks import LOOK_LOCK_SECONDS
from bridge.store.roles import make_roles, refuse_other_owner
from bridge.wording import counted

OLDEST_SERVER = 140000
MIGRATE = "run `eventbridge migrate`"
MADE = ("23505", "42P06", "42P07")  # it is there already: unique, schema, table
LOCK_SECONDS = 50.0  # less than a statement may take by default: so the error names the lock
VERSIONS = Path(__file__).parent / "migrations" / "versions"


def migrate(database: Celery | str | Engine, *, roles: bool = False) -> list[str]:
    """Create or upgrade the schema `fq`; running it again changes nothing.

    Writers may go on writing meanwhile, and two machines may migrate at once.

    Args:
        database: A Celery app that has a `bridge_database_url`, a URL as `postgresql://…`, or a SQLAlchemy engine.
        roles: Also make the roles `fq_publisher`, `fq_bridge`, `fq_operator` and `fq_monitor`, and grant each what it
            may do.

    Returns:
        The revisions that were applied, oldest first; empty if the schema was up to date.

    Raises:
        ConfigurationError: the app names no database, or the URL can't be read.
        UsageError: this role may not make the roles; nothing changed.
        SchemaForeign: `fq` belongs to another program, the server is too old, or the database is not UTF-8; nothing
            changed.
        SchemaTooNew: the database was migrated by a newer version of this package; nothing changed.
        StoreUnavailable: Postgres does not answer, or dropped the connection; nothing changed.
    """
    if isinstance(database, Engine):
        return _migrate(database, roles=roles)
    if isinstance(database, Celery):
        database = BridgeSettings.read(database.conf, os.environ).need_database_url()
    store = Store(database)
    try:
        return _migrate(store.engine, roles=roles)
    finally:
        store.close()


def check_schema(engine: Engine) -> None:
    """Raise unless the schema is exactly the one that this code knows.

    Raises:
        SchemaMissing, SchemaOutdated, SchemaTooNew, SchemaForeign: each says what to do.
        StoreUnavailable: Postgres does not answer.
        StoreLocked: of these, somebody lets nobody read the schema's version.
    """
    with translated(), engine.begin() as connection:
        connection.execute(statement("boot/look_nowhere_else"))
        connection.execute(statement("boot/lock_limit"), {"lock_ms": str(round(LOOK_LOCK_SECONDS * 1000))})
        _refuse_old_server(connection)
        _refuse_encoding(connection)
        _refuse_unusable(connection, WITHOUT_RIGHTS)
        revision = _revision(connection)
        if revision is None:
            _refuse_foreign(connection, revision)
            raise SchemaMissing(f"the database has no schema fq yet: {MIGRATE}")
        _refuse_hidden_rows(connection)
    if revision not in _revisions():
        raise SchemaTooNew(_too_new(revision))
    if revision != _revisions()[-1]:
        raise SchemaOutdated(f"the schema fq is at {revision}, this code needs {_revisions()[-1]}: {MIGRATE}")


def _migrate(engine: Engine, *, roles: bool) -> list[str]:
    from alembic import command  # a tenth of a second that only migrating and checking should cost

    with translated(), engine.begin() as connection:
        connection.execute(statement("boot/look_nowhere_else"))  # first: functions keep what names mean now
        connection.execute(statement("boot/lock_limit"), {"lock_ms": str(round(LOCK_SECONDS * 1000))})
        _refuse_old_server(connection)
        _refuse_encoding(connection)
        before = _known_revision(connection)
        if before == _revisions()[-1] and not roles:
            return []
        if roles and before is not None:
            refuse_other_owner(connection)
        if before is None:
            if (
                connection.execute(statement("boot/schema_owner")).one_or_none() is None
            ):  # else it would need CREATE too
                _make(connection, text("CREATE SCHEMA fq"))
            _known_revision(connection)  # it may be somebody else's, who was quicker
            _make(connection, statement("boot/version_table"))
        connection.execute(statement("boot/lock_migrations"))
        before = _known_revision(connection, locked=True)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if roles:
            make_roles(connection)
        known = _revisions()
        return known[known.index(before) + 1 :] if before else known


def _known_revision(connection: Connection, *, locked: bool = False) -> str | None:
    """Return the schema's revision; None if there is nothing of it but, once it is `locked`, the table of its version.

    Raises:
        SchemaForeign, SchemaTooNew: this role can't migrate it, or should not.
    """
    _refuse_unusable(connection)
    _refuse_untrusted(connection)
    revision = _revision(connection)
    _refuse_foreign(connection, revision, ours=int(locked))
    if revision is not None and revision not in _revisions():
        raise SchemaTooNew(_too_new(revision))
    return revision


def _make(connection: Connection, command: Executable) -> None:
    """Make the schema or a table of it, unless it is there, or another migration makes it at this moment."""
    try:
        with connection.begin_nested():
            connection.execute(command)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in MADE:
            raise


def _too_new(revision: str) -> str:
    return (
        f"the schema fq is at {revision}, newer than this code ({_revisions()[-1]}): upgrade celery-event-bridge here"
    )


def _refuse_old_server(connection: Connection) -> None:
    version = connection.execute(statement("boot/server_version")).scalar_one()
    if version < OLDEST_SERVER:
        raise SchemaForeign(f"the server is PostgreSQL {version // 10000}: the bridge needs 14 or newer")


def _refuse_encoding(connection: Connection) -> None:
    """Refuse a database that is not UTF-8: SQL_ASCII stores bytes that are no text, and they would block a client."""
    found = connection.execute(statement("boot/encoding")).one()
    if found.encoding != "UTF8":
        raise SchemaForeign(
            f'database "{found.database}" has the encoding {found.encoding}: the bridge needs UTF8. Make a new one '
            f"(CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0), and move the data with pg_dump"
        )


def _refuse_hidden_rows(connection: Connection) -> None:
    """Refuse row level security that applies to this role: an event that it hides would be passed over for good."""
    found = connection.execute(statement("boot/hiding")).one_or_none()
    if found is not None:
        raise SchemaForeign(
            f"row level security hides rows of fq.{found.table} from role {found.me}, which would pass over them: "
            f"ALTER ROLE {found.me} BYPASSRLS, or ALTER TABLE fq.{found.table} DISABLE ROW LEVEL SECURITY"
        )


def _refuse_unusable(connection: Connection, advice: str = "") -> None:
    found = connection.execute(statement("boot/schema_owner")).one_or_none()
    if found is not None and not found.may_use:
        if advice and found.unused:
            advice = (
                f"it is a member of {found.unused} and does not inherit its rights: "
                f'ALTER ROLE "{found.me}" SET role = {found.unused}, or let it inherit them'
            )
        raise SchemaForeign(
            f"schema fq is owned by {found.owner}, and role {found.me} may not use it: "
            + (advice or f"GRANT CREATE, USAGE ON SCHEMA fq TO {found.me}, or connect as {found.owner}")
        )


def _refuse_untrusted(connection: Connection) -> None:
    """Refuse a schema `fq` whose owner could run code as this role, by what he puts into it.

    Everybody with CREATE on the database can make a schema of that name, and wait for who migrates it.
    """
    found = connection.execute(statement("boot/schema_owner")).one_or_none()
    if found is not None and not found.trusted:
        raise SchemaForeign(
            f"schema fq is owned by {found.owner}, who could run code as {found.me} in it: migrate as {found.owner}; "
            f"or DROP SCHEMA fq if nobody needs it; or, if you know what is in it, ALTER SCHEMA fq OWNER TO {found.me}"
        )


def _refuse_foreign(connection: Connection, revision: str | None, *, ours: int = 0) -> None:
    """Refuse a schema `fq` without our version table, unless it has only what is `ours` and we may create in it."""
    found = connection.execute(statement("boot/schema_owner")).one_or_none()
    if found is None or revision is not None:
        return
    if found.objects > ours:
        objects = counted(found.objects, "object that is", "objects that are")
        raise SchemaForeign(
            f"schema fq holds {objects} not the bridge's (owner {found.owner}): "
            "move them away, or give the bridge a database of its own"
        )
    if not found.may_create:
        raise SchemaForeign(
            f"schema fq is owned by {found.owner}: grant this role CREATE on it "
            f"(GRANT CREATE, USAGE ON SCHEMA fq TO {found.me}), or migrate as {found.owner}"
        )


def _revision(connection: Connection) -> str | None:
    if not connection.execute(statement("boot/has_version_table")).scalar_one():
        return None
    revision: str | None = connection.execute(text("SELECT max(version_num) FROM fq.alembic_version")).scalar_one()
    return revision


def _config() -> Any:
    # Before the import: it would fill every worker's log with news of alembic's plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _revisions() -> list[str]:
    """Return every revision that this code knows, oldest first: the numbers that the names of their files begin with.

    Alembic says the same, and takes a tenth of a second to be imported, which every command would cost.
    """
    return sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))

"""The bridge's own migrations as a step of a Django migration: `manage.py migrate` makes the schema, in tests too."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connections, router
from django.db.migrations.operations.base import Operation

from bridge.contrib.django.database import address_of, alias
from bridge.store import Store
from bridge.store.migrate import migrate


def migrate_without_migrations(sender: Any, *, using: str, **_: Any) -> None:
    """Make the schema in a test database for which a project has switched migrations off, as `--nomigrations` does."""
    modules, label = settings.MIGRATION_MODULES, sender.label
    if using != alias() or label not in modules or modules[label] is not None:  # no dict where pytest-django set it
        return
    if router.allow_migrate(using, label) and not _is_there(connections[using]):
        _migrate(connections[using])


def _is_there(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('fq.alembic_version') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def _migrate(connection: Any) -> None:
    """Migrate the database of one of Django's connections, on another connection."""
    store = Store(address_of(connection.settings_dict))
    try:
        migrate(store.engine)
    finally:
        store.close()


class MigrateBridge(Operation):
    """Bring the schema `fq` up to this code, in the database that `BRIDGE_DATABASE` names.

    It works on a connection of its own, so a migration with it is not atomic. It goes forward only: taking the schema
    away again would take all events with it.

    Args:
        revision: The revision of the schema that the Django migration is there for.
    """

    reduces_to_sql = False
    reversible = False
    atomic = False

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: Django's models say by themselves what is in the tables."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Migrate, if this is the bridge's database and no router forbids it."""
        connection = schema_editor.connection
        if connection.alias != alias() or not router.allow_migrate(connection.alias, app_label):
            return
        _migrate(connection)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Refuse: Django does not come here, because the operation is not reversible."""
        raise NotImplementedError("the schema fq goes forward only: DROP SCHEMA fq CASCADE removes it with all events")

    def describe(self) -> str:
        """Say what it does, for `manage.py migrate --plan`."""
        return f"Bring the schema fq to revision {self.revision} or newer; there is no way back"

"""The roles that `migrate` makes: what a publisher, the bridge, an operator and a monitor may do, and nothing more.

They are groups that nobody logs in as: grant them to the roles that do. What a role may do is said anew each time, so
that a table of a later revision is covered by calling `migrate` with the roles again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from bridge.errors import UsageError
from bridge.sql import statement

GRANTS = {
    # The offset, the epochs of others and what others publish are none of a publisher's business; but for ids, because
    # the same id again returns the first offset.
    "fq_publisher": [
        "GRANT INSERT (topic, key, payload, headers) ON fq.events TO fq_publisher",
        'GRANT SELECT, INSERT (id, topic), UPDATE ("offset") ON fq.event_ids TO fq_publisher',  # set once: a trigger
        "GRANT INSERT (due_at, topic, key, payload, headers, id) ON fq.scheduled TO fq_publisher",
        "GRANT SELECT (number, due_at, topic, id) ON fq.scheduled TO fq_publisher",
    ],
    "fq_bridge": [
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fq TO fq_bridge",
        "REVOKE INSERT, UPDATE ON fq.events FROM fq_bridge",  # it may delete what nobody needs: bridge_keep
        "GRANT INSERT (topic, key, payload, headers) ON fq.events TO fq_bridge",  # to append what is due
        "REVOKE INSERT, UPDATE, DELETE ON fq.settings, fq.alembic_version FROM fq_bridge",
        "REVOKE UPDATE, DELETE ON fq.journal FROM fq_bridge",
        "REVOKE INSERT, DELETE ON fq.clients FROM fq_bridge",
        "REVOKE INSERT, UPDATE, DELETE ON fq.log FROM fq_bridge",  # a new generation is for the owner to begin: resync
        "GRANT UPDATE (pruned) ON fq.log TO fq_bridge",
    ],
    "fq_operator": [
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fq TO fq_operator",
        "REVOKE ALL ON fq.settings FROM fq_operator",  # who has the secret can report any event as done
        "REVOKE INSERT, UPDATE ON fq.events FROM fq_operator",  # it may delete what nobody needs
        "GRANT INSERT (topic, key, payload, headers) ON fq.events TO fq_operator",
        "GRANT UPDATE (key, payload, headers) ON fq.events TO fq_operator",  # to erase: a trigger refuses the rest
        'GRANT INSERT ("offset", created_at) ON fq.events TO fq_operator',  # to put back what was pruned: likewise
        "REVOKE INSERT, UPDATE, DELETE ON fq.alembic_version, fq.log FROM fq_operator",
        "GRANT UPDATE (pruned) ON fq.log TO fq_operator",
        "REVOKE UPDATE ON fq.journal FROM fq_operator",  # a trigger lets it delete only what is archived
    ],
    "fq_monitor": [
        "GRANT SELECT ON ALL TABLES IN SCHEMA fq TO fq_monitor",
        "REVOKE ALL ON fq.settings FROM fq_monitor",
    ],
}


# As in the schema's last file. A dump that was restored without privileges has lost it.
FOR_ALL = "GRANT SELECT ON SEQUENCE fq.events_offset_seq TO PUBLIC"

LOCKS_CLIENTS = ("fq_bridge", "fq_operator")  # through the view of their settings, and a lock takes the right to UPDATE

# Of SELECT, INSERT, UPDATE and DELETE on each table, what a role does not need; of views each needs SELECT alone.
WITHHELD = {
    "fq_bridge": {
        "events": "INSERT UPDATE",
        "settings": "INSERT UPDATE DELETE",
        "alembic_version": "INSERT UPDATE DELETE",
        "journal": "UPDATE DELETE",
        "clients": "INSERT DELETE",
        "log": "INSERT UPDATE DELETE",
    },
    "fq_operator": {
        "settings": "SELECT INSERT UPDATE DELETE",
        "events": "UPDATE",
        "alembic_version": "INSERT UPDATE DELETE",
        "log": "INSERT UPDATE DELETE",
        "journal": "UPDATE",
    },
    "fq_monitor": {"settings": "SELECT"},
}


def needs(role: str, table: str, *, is_view: bool) -> frozenset[str]:
    """Return which of SELECT, INSERT, UPDATE and DELETE a role of ours needs on a table or a view."""
    if role == "fq_publisher":
        return frozenset({"INSERT"} if table == "events" else ())
    every = {"SELECT"} if is_view or role == "fq_monitor" else {"SELECT", "INSERT", "UPDATE", "DELETE"}
    return frozenset(every.difference(WITHHELD[role].get(table, "").split()))


def make_roles(connection: Connection) -> None:
    """Make the roles that are not there yet, and let each do what it may, and nothing more.

    Raises:
        UsageError: this role may not create roles, or does not own the schema; nothing changed.
    """
    me = refuse_other_owner(connection)
    missing = [role for role in GRANTS if role not in me.there]
    if missing and not me.may_create:
        raise UsageError(
            f"role {me.me} may not create {', '.join(missing)}: ALTER ROLE {me.me} CREATEROLE, "
            f"or let a superuser run {'; '.join(f'CREATE ROLE {role} NOLOGIN' for role in missing)}"
        )
    for role in missing:
        _create(connection, role)
    views = connection.execute(statement("boot/views")).scalars().all()
    for command in _grants(views):
        connection.execute(text(command))


def refuse_other_owner(connection: Connection) -> Row[Any]:
    """Return what this role may do about roles: only the schema's owner may let others use it.

    Raises:
        UsageError: this role is not the owner.
    """
    me = connection.execute(statement("boot/who_migrates"), {"roles": list(GRANTS)}).one()
    if not me.owns:
        raise UsageError(f"role {me.me} does not own the schema fq: make the roles as {me.owner}, or as a superuser")
    return me


def _create(connection: Connection, role: str) -> None:
    """Create a role, unless a migration of another database of this server does at this moment."""
    with suppress(IntegrityError), connection.begin_nested():
        connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))


def _grants(views: Sequence[str]) -> Iterator[str]:
    yield FOR_ALL
    for role, grants in GRANTS.items():
        yield f"REVOKE ALL ON ALL TABLES IN SCHEMA fq FROM {role}"
        yield f'REVOKE ALL ("offset", topic, key, payload, headers, created_at) ON fq.events FROM {role}'
        yield f'REVOKE ALL (id, topic, "offset") ON fq.event_ids FROM {role}'
        yield f"REVOKE ALL (number, due_at, topic, key, payload, headers, id) ON fq.scheduled FROM {role}"
        yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA fq FROM {role}"
        yield f"GRANT USAGE ON SCHEMA fq TO {role}"
        # PUBLIC has this, unless default privileges or a person have taken it away.
        yield f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fq TO {role}"
        yield from grants
        # Whoever may write to a view writes to its table with the rights of the view's owner.
        yield from (f"REVOKE INSERT, UPDATE, DELETE ON fq.{view} FROM {role}" for view in views)
    yield from (f"GRANT UPDATE ON fq.client_settings TO {role}" for role in LOCKS_CLIENTS)

"""Logins of the roles that `migrate` makes, and what each may do by plain SQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg

GROUPS = ("fq_publisher", "fq_bridge", "fq_operator", "fq_monitor")
PUBLISHER, BRIDGE, OPERATOR, MONITOR = GROUPS

# A statement, and who may run it. NOBODY else may, and nobody without a role.
RIGHTS: dict[str, tuple[str, ...]] = {
    "INSERT INTO fq.events (topic) VALUES ('a')": (PUBLISHER, BRIDGE, OPERATOR),  # the bridge appends what is due
    "INSERT INTO fq.events DEFAULT VALUES": (PUBLISHER, BRIDGE, OPERATOR),
    "INSERT INTO fq.events (topic, key, payload, headers) VALUES ('a', 'k', '1', '{}')": (PUBLISHER, BRIDGE, OPERATOR),
    "SELECT fq.publish('a', id => 'i')": (PUBLISHER, BRIDGE, OPERATOR),
    """SELECT fq.publish_many('[["a", 1, null, null, "i"]]')""": (PUBLISHER, BRIDGE, OPERATOR),
    "SELECT fq.schedule('a', '1', now(), id => 'i')": (PUBLISHER, BRIDGE, OPERATOR),
    "SELECT fq.append_scheduled('{1}')": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.event_ids": (PUBLISHER, BRIDGE, OPERATOR, MONITOR),
    "DELETE FROM fq.event_ids": (BRIDGE, OPERATOR),
    "SELECT payload FROM fq.scheduled": (BRIDGE, OPERATOR, MONITOR),
    "DELETE FROM fq.scheduled": (BRIDGE, OPERATOR),
    "INSERT INTO fq.events (created_at) VALUES ('epoch')": (OPERATOR,),
    """INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE VALUES (77)""": (OPERATOR,),  # and a trigger refuses it
    "INSERT INTO fq.events (topic) VALUES ('a') RETURNING payload": (BRIDGE, OPERATOR),
    "SELECT fq.put()": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.events": (BRIDGE, OPERATOR, MONITOR),
    """SELECT "offset" FROM fq.events""": (BRIDGE, OPERATOR, MONITOR),
    "UPDATE fq.events SET topic = 'b'": (),
    "UPDATE fq.events SET created_at = now()": (),
    "UPDATE fq.events SET payload = '{}'": (OPERATOR,),  # to erase, and trigger events_erased refuses all else
    "SELECT FROM fq.events FOR UPDATE": (OPERATOR,),
    "DELETE FROM fq.events WHERE false": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.held_ranges": (BRIDGE, OPERATOR, MONITOR),
    "SELECT * FROM fq.parked_events": (BRIDGE, OPERATOR, MONITOR),
    "UPDATE fq.log SET pruned = pruned": (BRIDGE, OPERATOR),
    "UPDATE fq.log SET starts = starts": (),  # a new generation is for the owner to begin: resync
    "DELETE FROM fq.log": (),
    "DELETE FROM fq.holds": (BRIDGE, OPERATOR),
    "TRUNCATE fq.events": (),
    "SELECT nextval('fq.events_offset_seq')": (),
    "SELECT setval('fq.events_offset_seq', 1000)": (),
    "SELECT * FROM fq.clients": (BRIDGE, OPERATOR, MONITOR),
    "INSERT INTO fq.clients (id, task) VALUES ('x', 't')": (OPERATOR,),
    "UPDATE fq.clients SET trouble = ''": (BRIDGE, OPERATOR),
    "DELETE FROM fq.clients": (OPERATOR,),
    # Through a view one writes with the rights of the view's owner.
    "INSERT INTO fq.client_settings (id, task) VALUES ('x', 't')": (),
    "DELETE FROM fq.client_settings": (),
    "SELECT FROM fq.client_settings FOR NO KEY UPDATE": (BRIDGE, OPERATOR),
    "DELETE FROM fq.mark_troubles": (),
    "UPDATE fq.mark_troubles SET trouble = NULL": (),
    "SELECT fq.commit('c', 1)": (OPERATOR,),
    "SELECT * FROM fq.get('c')": (BRIDGE, OPERATOR, MONITOR),
    "SELECT fq.advance_horizon()": (BRIDGE, OPERATOR),
    "SELECT fq.read_horizon()": (BRIDGE, OPERATOR, MONITOR),
    "UPDATE fq.horizon SET steps = '[]'": (BRIDGE, OPERATOR),
    "INSERT INTO fq.deliveries (client_id, \"offset\", epoch, due_at) VALUES ('c', 1, 1, now())": (BRIDGE, OPERATOR),
    "DELETE FROM fq.parked": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.parked": (BRIDGE, OPERATOR, MONITOR),
    "INSERT INTO fq.journal (by, client_id, action) VALUES ('me', 'c', 'note')": (BRIDGE, OPERATOR),
    "DELETE FROM fq.journal": (OPERATOR,),  # and a trigger refuses it, but for what is archived
    "UPDATE fq.journal SET by = 'nobody'": (),
    "SELECT * FROM fq.journal": (BRIDGE, OPERATOR, MONITOR),
    "UPDATE fq.marks SET trouble = NULL": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.marks": (BRIDGE, OPERATOR, MONITOR),
    "SELECT * FROM fq.durations": (BRIDGE, OPERATOR, MONITOR),
    "UPDATE fq.durations SET seconds = 0": (BRIDGE, OPERATOR),
    "SELECT * FROM fq.server()": (PUBLISHER, BRIDGE, OPERATOR, MONITOR),
    "SELECT value FROM fq.settings": (BRIDGE,),
    "UPDATE fq.settings SET value = 'mine'": (),
    "UPDATE fq.alembic_version SET version_num = '9'": (),
    "CREATE TABLE fq.mine (id integer)": (),
    "CREATE TABLE public.mine (event bigint REFERENCES fq.events)": (),
    "CREATE TABLE public.mine (client text REFERENCES fq.clients)": (),
    "CREATE TABLE public.mine () INHERITS (fq.events)": (),
    "CREATE TRIGGER mine BEFORE INSERT ON fq.events EXECUTE FUNCTION suppress_redundant_updates_trigger()": (),
    "CREATE RULE mine AS ON INSERT TO fq.events DO ALSO NOTHING": (),
    "CREATE POLICY mine ON fq.events": (),
    "CREATE INDEX ON fq.events (key)": (),
    "CREATE PUBLICATION mine FOR TABLE fq.events": (),
    "COMMENT ON TABLE fq.events IS 'mine'": (),
    "LOCK TABLE fq.events IN SHARE MODE": (BRIDGE, OPERATOR),  # who may delete what nobody needs
    "LOCK TABLE fq.clients IN SHARE MODE": (BRIDGE, OPERATOR),
    "LOCK TABLE fq.event_ids IN SHARE MODE": (BRIDGE, OPERATOR),
    "LOCK TABLE fq.alembic_version IN EXCLUSIVE MODE": (),  # who holds it holds up migrations
    "TRUNCATE fq.clients": (),
    "TRUNCATE fq.event_ids": (),
    "TRUNCATE fq.journal": (),
    "SELECT setval('fq.journal_id_seq', 1)": (),
    "SELECT setval('fq.scheduled_number_seq', 1)": (),
    "SELECT number FROM fq.scheduled FOR SHARE": (BRIDGE, OPERATOR),
    "UPDATE fq.scheduled SET due_at = now()": (BRIDGE, OPERATOR),
    "CREATE FUNCTION fq.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'": (),
    "DROP TABLE fq.lanes": (),
    "ALTER TABLE fq.events DISABLE TRIGGER ALL": (),
}


def may(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Try a statement, and leave no trace."""
    with connection.transaction(force_rollback=True):
        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        except psycopg.Error as error:  # it may, and a rule refuses it: to all, or as the log is now
            assert (error.sqlstate or "").startswith(("FQ", "23514", "55000")), (statement, error)
            return True
    return True


@contextmanager
def logins(admin: psycopg.Connection[object], url: str, *groups: str) -> Iterator[dict[str, str]]:
    """Make a login for each group, and one for nobody (""); yield their URLs."""
    parts, urls = urlsplit(url), {}
    try:
        for group in ("", *groups):
            name = f"bridge_test_{os.getpid()}_{group or 'nobody'}"
            admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'".encode())
            place = parts.netloc.rpartition("@")[2]
            urls[group] = parts._replace(netloc=f"{name}:secret@{place}").geturl()
            if group:
                admin.execute(f"GRANT {group} TO {name}".encode())
        yield urls
    finally:
        for group in urls:
            name = f"bridge_test_{os.getpid()}_{group or 'nobody'}"
            admin.execute(f"DROP OWNED BY {name}".encode())
            admin.execute(f"DROP ROLE {name}".encode())

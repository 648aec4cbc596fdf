"""G10: default privileges of the database neither open the schema to anybody nor close it to its roles."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from bridge.store.migrate import migrate
from tests.conftest import Connect
from tests.store.roles import GROUPS, PUBLISHER, RIGHTS, logins, may

Admin = psycopg.Connection[object]

TO_OTHERS = """
SELECT c.relname, a.grantee::regrole::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'fq'::regnamespace AND a.grantee <> c.relowner
   AND (c.relname, a.grantee, a.privilege_type) <> ('events_offset_seq', 0, 'SELECT')
"""
MOVES_SEQUENCE = "SELECT setval('fq.events_offset_seq', 1000)"


@pytest.fixture
def admin(empty_database: str, connect: Connect) -> Admin:
    return connect(empty_database)


@pytest.fixture
def urls(admin: Admin, empty_database: str) -> Iterator[dict[str, str]]:
    """Return the URL of a login without any role; there are such of each role once it is migrated."""
    with logins(admin, empty_database) as found:
        yield found


def name_of(url: str) -> str:
    return url.split("//")[1].split(":", maxsplit=1)[0]


def test_g10_roles_do_what_they_may_where_public_runs_no_function(
    admin: Admin, empty_database: str, connect: Connect
) -> None:
    admin.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    migrate(empty_database, roles=True)
    with logins(admin, empty_database, *GROUPS) as urls:
        for group in GROUPS:
            login = connect(urls[group])
            said = {statement: may(login, statement) for statement in RIGHTS}
            assert said == {statement: group in groups for statement, groups in RIGHTS.items()}, group


@pytest.mark.parametrize("to_all", [True, False])
def test_g10_what_default_privileges_give_away_is_taken_back(
    admin: Admin, empty_database: str, urls: dict[str, str], *, to_all: bool
) -> None:
    whom = sql.SQL("PUBLIC") if to_all else sql.Identifier(name_of(urls[""]))
    for kind in ("TABLES", "SEQUENCES"):
        admin.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT ALL ON {} TO {}").format(sql.SQL(kind), whom))
    migrate(empty_database)
    assert admin.execute(TO_OTHERS).fetchall() == []


def test_g10_no_publisher_moves_the_sequence_whatever_it_was_granted_by_hand(
    admin: Admin, empty_database: str, connect: Connect
) -> None:
    migrate(empty_database, roles=True)
    with logins(admin, empty_database, PUBLISHER) as urls:
        login = connect(urls[PUBLISHER])
        admin.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA fq TO {PUBLISHER}".encode())
        assert may(login, MOVES_SEQUENCE)
        migrate(empty_database, roles=True)
        assert not may(login, MOVES_SEQUENCE)

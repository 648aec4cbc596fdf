"""`migrate`: the schema is made once, and one that does not fit stops every command."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.command.running import Run, done, parsed, refused, runner
from tests.conftest import Connect


def test_migrate_says_what_it_applied_and_then_that_nothing_is_left(empty_database: str) -> None:
    run = runner(empty_database)
    assert "run `bridge migrate`" in refused(run("status"))
    assert "applied 0001" in done(run("migrate"))
    assert "was up to date" in done(run("migrate"))
    assert parsed(run("migrate", "--json")) == {"applied": []}
    assert parsed(run("status", "--json")) == []


def test_a_schema_newer_than_the_code_stops_every_command(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("UPDATE fq.alembic_version SET version_num = '9999'")
    for args in (
        ["status"],
        ["clients"],
        ["tail"],
        ["migrate"],
        ["publish", "a"],
        ["pause", "c"],
        ["register", "c", "--task", "t"],
    ):
        result = run(*args)
        assert "newer than this code" in refused(result), args
        assert result.exit_code == 1
    assert eyes.execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


def test_a_schema_that_is_somebody_else_s_is_left_alone(empty_database: str, connect: Connect) -> None:
    eyes = connect(empty_database)
    eyes.execute("CREATE SCHEMA fq CREATE TABLE theirs (id int)")
    run = runner(empty_database)
    result = run("migrate")
    assert "1 object that is not the bridge's" in refused(result)
    assert result.exit_code == 1
    assert eyes.execute("SELECT to_regclass('fq.clients')").fetchone() == (None,)


def test_g10_migrate_makes_the_roles_when_asked_to(database: str, connect: Connect) -> None:
    run = runner(database)
    said = done(run("migrate", "--roles"))
    assert "was up to date" in said
    assert "these roles have their rights: fq_publisher, fq_bridge, fq_operator, fq_monitor; GRANT" in said
    assert parsed(run("migrate", "--roles", "--json")) == {"applied": []}
    there = connect().execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^fq_' AND NOT rolcanlogin ORDER BY 1")
    assert [name for (name,) in there.fetchall()] == ["fq_bridge", "fq_monitor", "fq_operator", "fq_publisher"]

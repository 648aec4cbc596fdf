"""Statements that are run again and again: their columns are found out once."""

from __future__ import annotations

from bridge.sql import statement
from bridge.store.repeated import run
from tests.support.world import World

NAME, BINDS = "pass/look_at_client", {"client": "c"}


def test_a_statement_returns_the_same_rows_under_the_same_names_when_its_columns_are_known(world: World) -> None:
    world.client("c")
    with world.store.transaction() as connection:
        wanted = dict(connection.execute(statement(NAME), BINDS).mappings().one())
        found = [dict(run(connection, NAME, BINDS).mappings().one()) for _ in range(3)]
        nothing = [run(connection, NAME, {"client": "another"}).mappings().all() for _ in range(2)]
    assert found == [wanted] * 3
    assert nothing == [[], []]

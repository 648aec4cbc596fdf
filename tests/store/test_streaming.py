"""Rows that are streamed: their errors are those of any other statement, and their session stays good (G10)."""

from __future__ import annotations

import pytest

from bridge.errors import StoreUnavailable
from bridge.store.streaming import stream, stream_by
from tests.support.world import World

READ = "archive/read_events"


def test_g10_a_session_that_ends_meanwhile_is_an_error_of_ours_and_the_next_one_is_another(world: World) -> None:
    with pytest.raises(StoreUnavailable), world.store.transaction() as connection:
        found = world.eyes.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'celery-event-bridge%'"
            " AND datname = current_database()"
        ).fetchall()
        assert found
        list(stream(connection, READ, {"offsets": [1]}))
    with world.store.transaction() as connection:
        assert list(stream(connection, READ, {"offsets": [1]})) == []


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_rows_come_in_order_however_many_a_statement_has_and_who_stops_leaves_a_good_session(
    world: World, rows: int
) -> None:
    wanted = world.publish(*"abcdef")
    with world.store.transaction() as connection:
        for _ in range(2):
            assert [row[0] for row in stream_by(connection, READ, {"offsets": wanted}, rows=rows)] == wanted
    with world.store.transaction() as connection:
        first = next(stream_by(connection, READ, {"offsets": wanted}, rows=rows))
    assert first[0] == wanted[0]
    with world.store.transaction() as connection:
        assert len(list(stream(connection, READ, {"offsets": wanted}))) == len(wanted)

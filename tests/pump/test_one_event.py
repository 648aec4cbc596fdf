"""One event costs little: its plans are kept, no thread is started for it, and the wait before it is short (G5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.pump import slices
from bridge.store import rounds
from tests.support.world import World

USED = "SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE %s"
SLOW = """
CREATE SEQUENCE looks;
CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_sleep(CASE WHEN nextval('public.looks') = ANY ('{1,4,7}') THEN 0.3 ELSE 0 END);
    RETURN false;
END $$;
CREATE OR REPLACE VIEW fq.served AS
    SELECT c.id, c.bridge, c.dispatched, c.state, c."full", false AS limited, public.slow() AS woken FROM fq.clients c;
"""


@pytest.mark.parametrize("ordering", ["key", "none", "strict"])
def test_no_pass_plans_its_statements_anew(world: World, ordering: str) -> None:
    world.client(ordering=ordering)
    for _ in range(20):  # Postgres decides after five
        world.publish(None)
        world.succeed(*world.hand_over())
    with world.store.reading() as connection:
        raw: Any = connection.connection.driver_connection
        found = raw.execute(USED, ["WITH slice AS%"]).fetchall()
    assert [(custom, generic > 10) for _, custom, generic in found] == [(0, True)]


def test_a_thread_is_started_only_where_several_slices_are_to_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Noted(ThreadPoolExecutor):
        def __init__(self, **given: Any) -> None:
            started.append(1)
            super().__init__(**given)

    monkeypatch.setattr(slices, "ThreadPoolExecutor", Noted)
    monkeypatch.setattr(slices, "SLICE_EVENTS", 10)
    world.client(window=1000, ordering="none")
    for number, expected in ((1, 0), (10, 0), (11, 1)):
        world.publish(*[None] * number)
        assert len(world.hand_over()) == number
        assert len(started) == expected


def test_a_look_that_was_held_up_once_does_not_lengthen_the_wait(world: World) -> None:
    world.client()
    world.eyes.execute(SLOW.encode())
    rounds.take_turn(world.store, holder="me", seconds=60)
    rounds.wait_for_work(world.store, holder="me", seconds=8, poll_seconds=0.001, look_for_due=False)
    assert world.ask("SELECT last_value FROM looks") > 10, "after one look of 0.3 s a wait is not 12 s long"


def test_no_look_sets_up_the_arithmetic_of_rates_for_clients_without_one(world: World) -> None:
    plan = world.eyes.execute("EXPLAIN (VERBOSE) SELECT FROM fq.served WHERE limited OR woken").fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "is_limited" in text and "split_part" not in text

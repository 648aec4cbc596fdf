"""The words of the schema: a rule that several statements follow stands in one function or view."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bridge.model import Position
from bridge.operate.parked import redrive
from bridge.operate.seek import seek
from bridge.settings.client import SETTINGS
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.support.world import World, offsets

DELIVERY = "INSERT INTO fq.deliveries (client_id, \"offset\", epoch, key, due_at) VALUES ('c', %s, 1, %s, now())"


@pytest.fixture
def log(connect: Connect) -> psycopg.Connection[Any]:
    return connect()


@pytest.mark.parametrize(
    ("on_exhausted", "ordering", "verdict"),
    [
        ("park", "key", "park"),
        ("park", "none", "park"),
        ("park", "strict", "park"),
        ("hold-key", "key", "hold-key"),
        ("hold-key", "none", "park"),
        ("hold-key", "strict", "halt"),
        ("halt", "key", "halt"),
        ("halt", "none", "halt"),
        ("halt", "strict", "halt"),
    ],
)
def test_g7_a_key_is_held_only_where_events_are_ordered_by_key(
    log: psycopg.Connection[Any], on_exhausted: str, ordering: str, verdict: str
) -> None:
    found = log.execute(
        """INSERT INTO fq.clients AS c (id, task, on_exhausted, ordering) VALUES ('c', 't', %s, %s)
           RETURNING fq.verdict(c)""",
        [on_exhausted, ordering],
    )
    assert found.fetchall() == [(verdict,)]


@pytest.mark.parametrize(("ordering", "held"), [("key", True), ("none", False), ("strict", False)])
def test_g7_a_redriven_event_that_a_move_parks_again_holds_its_key_only_where_there_is_an_order_by_key(
    world: World, ordering: str, held: bool
) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key")
    world.publish("a")
    world.fail(*world.hand_over())
    redrive(world.store, "c", Selection(), by="me")
    assert offsets(world.hand_over()) == [1]
    world.client(ordering=ordering)
    seek(world.store, "c", to=Position(offset=1), by="me")
    assert world.rows("parked", '"offset", held') == [(1, held)]


@pytest.mark.parametrize(
    ("ordering", "window", "most", "refill_at"),
    [
        ("key", 1000, 1000, 900),
        ("none", 20, 20, 18),
        ("key", 15, 15, 13),
        ("key", 1, 1, 0),
        ("strict", 1000, 1, 0),
        ("key", 2_000_000_000, 2_000_000_000, 1_800_000_000),
    ],
)
def test_g5_a_full_window_takes_new_events_when_a_tenth_is_free_and_strict_order_is_a_window_of_one(
    log: psycopg.Connection[Any], ordering: str, window: int, most: int, refill_at: int
) -> None:
    found = log.execute(
        """INSERT INTO fq.clients AS c (id, task, ordering, "window") VALUES ('c', 't', %s, %s)
           RETURNING fq.window_of(c), fq.refill_at(c)""",
        [ordering, window],
    )
    assert found.fetchall() == [(most, refill_at)]


def test_a_client_s_deliveries_are_looked_for_from_its_lowest_on(log: psycopg.Connection[Any]) -> None:
    log.execute("INSERT INTO fq.clients (id, task, lowest) VALUES ('c', 't', 5), ('other', 't', -1)")
    for offset in (4, 5, 9):
        log.execute(DELIVERY, [offset, None])
    assert log.execute("SELECT \"offset\" FROM fq.open('c') ORDER BY 1").fetchall() == [(5,), (9,)]
    assert log.execute("SELECT FROM fq.open('other')").fetchall() == []


def test_g4_keys_are_busy_while_an_event_of_them_is_open_or_holds_them(log: psycopg.Connection[Any]) -> None:
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('c', 't')")
    for offset, key in ((1, "open"), (2, None)):
        log.execute(DELIVERY, [offset, key])
    log.execute(
        """INSERT INTO fq.parked (client_id, "offset", epoch, key, attempt, attempts, reason, held, first_at)
           VALUES ('c', 3, 1, 'held', 1, 1, '', true, now()), ('c', 4, 1, 'parked', 1, 1, '', false, now()),
                  ('other', 5, 1, 'another client''s', 1, 1, '', true, now())"""
    )
    log.execute("INSERT INTO fq.lanes (client_id, key, \"offset\") VALUES ('c', 'waiting', 6)")
    assert log.execute("SELECT key FROM fq.busy_keys('c') ORDER BY 1").fetchall() == [("held",), ("open",)]


def test_the_view_of_settings_has_every_setting_as_the_table_has_it(log: psycopg.Connection[Any]) -> None:
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('c', 't')")
    columns = ", ".join(f'"{name}"' for name in ("id", *SETTINGS))
    in_view = log.execute(f"SELECT {columns} FROM fq.client_settings".encode()).fetchall()
    assert in_view == log.execute(f"SELECT {columns} FROM fq.clients".encode()).fetchall()

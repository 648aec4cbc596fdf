"""Resync, beside the log itself: ids, scheduled events, numbers of other tables, and what was pruned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bridge as events
from bridge.app import Bridge
from bridge.operate.audit import audit
from bridge.operate.resync import plan_of, resync
from bridge.retention.prune import prune
from bridge.store.resync import Found
from bridge.store.scheduled import append_due
from tests.operate.test_resync import FOUND, SET_BACK
from tests.support.world import World, offsets


@pytest.fixture
def bridge(world: World) -> Iterator[Bridge]:
    with world.bridge() as it:
        yield it


def published(world: World, *ids: str) -> list[int]:
    return [events.publish(world.eyes, "order.created", {"id": id}, id=id) for id in ids]


def lose(world: World, *, after: int) -> None:
    """Let the log lose its last events, as one that was restored from other pieces than its ids."""
    with world.eyes.transaction():
        world.eyes.execute("SET LOCAL session_replication_role = replica")
        world.eyes.execute('DELETE FROM fq.events WHERE "offset" > %s', [after])


def test_g1_the_ids_of_lost_events_can_be_published_again(world: World, bridge: Bridge) -> None:
    world.client(ordering="none")
    published(world, "a", "b", "c", "d")
    world.succeed(*world.hand_over())
    lose(world, after=2)
    tried = resync(bridge, by="me", dry_run=True)
    assert tried.ids_forgotten == 2
    assert published(world, "c") == [3], "a dry run changes nothing: the id still names what is lost"
    assert resync(bridge, by="me").ids_forgotten == 2
    assert published(world, "a", "b", "c", "d") == [1, 2, 5, 6]
    assert offsets(world.hand_over()) == [5, 6]
    assert audit(world.store, "c").contradictions == ()


def test_g1_an_id_whose_offset_another_event_has_now_is_forgotten_and_that_event_s_own_stays(
    world: World, bridge: Bridge
) -> None:
    world.client(ordering="none")
    published(world, "a", "b", "c", "d")
    world.succeed(*world.hand_over())
    lose(world, after=1)
    world.eyes.execute(SET_BACK, (1,))
    assert published(world, "new") == [2]
    assert world.publish(None) == [3], "an event without an id has the offset of one that had an id"
    assert resync(bridge, by="me").ids_forgotten == 3
    assert published(world, "a", "new") == [1, 2]
    assert published(world, "b", "c", "d") == [5, 6, 7]


def test_g2_the_numbers_of_all_tables_go_on_where_no_sequence_came_along(world: World, bridge: Bridge) -> None:
    """Logical replication copies rows, and no sequence."""
    world.client(ordering="none")
    world.publish(None)
    world.succeed(*world.hand_over())
    scheduled = [events.publish(world.eyes, "a", {}, deliver_after=3600).number for _ in range(3)]
    assert scheduled == [1, 2, 3]
    world.eyes.execute(
        "INSERT INTO fq.replays (client_id, epoch, next, upto, filter, per_second) VALUES ('c', 9, 1, 1, '.*', 1)"
    )
    columns = """SELECT c.relname, a.attname, pg_get_serial_sequence(c.oid::regclass::text, a.attname)
                   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                  WHERE c.relnamespace = 'fq'::regnamespace AND a.attidentity <> ''"""
    numbered = world.eyes.execute(columns).fetchall()
    assert {table for table, _, _ in numbered} == {"events", "journal", "replays", "scheduled"}
    for _, _, sequence in numbered:
        world.eyes.execute(f"ALTER SEQUENCE {sequence} RESTART")
    resync(bridge, by="me")
    for table, column, sequence in numbered:
        highest = world.ask(f'SELECT max("{column}") FROM fq.{table}')
        assert world.ask("SELECT pg_sequence_last_value(%s::regclass)", sequence) == highest, table
    assert events.publish(world.eyes, "a", {}, deliver_after=3600).number == 4


def test_g1_what_was_pruned_stays_in_its_generation_also_where_no_client_holds_it(world: World, bridge: Bridge) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 5)
    world.succeed(*world.hand_over()[:2])
    world.eyes.execute("UPDATE fq.clients SET state = 'halted', released_at = now()")
    world.eyes.execute("DELETE FROM fq.deliveries")
    world.eyes.execute('UPDATE fq.clients SET "offset" = 2, dispatched = 2, epoch = 2, last_epoch = 2')
    prune(world.store, before=None, keep=1)
    assert world.rows("events") == [5]
    assert resync(bridge, by="me").first == 5
    assert world.ask("SELECT fq.generation_of(4)") == 1


def test_the_plan_agrees_on_what_was_pruned() -> None:
    plan = plan_of(Found(**{**FOUND, "handed_over": 10, "pruned": 60}), None)
    assert (plan.agreed, plan.starts) == (60, (0, 61))
    plan = plan_of(Found(**{**FOUND, "pruned": 60, "drawn": 50, "last": 50, "reused": 41}), None)
    assert plan.agreed == 40, "what was written at offsets that were drawn before is another event"


def test_scheduled_events_come_once_and_in_time_after_a_resync(world: World, bridge: Bridge) -> None:
    world.client(ordering="none")
    events.publish(world.eyes, "late", {}, id="s", deliver_after=0)
    events.publish(world.eyes, "later", {}, id="t", deliver_after=3600)
    published(world, "a")
    world.succeed(*world.hand_over())
    lose(world, after=0)
    resync(bridge, by="me")
    append_due(world.store, most=10)
    append_due(world.store, most=10)
    [handed] = world.hand_over()
    assert (handed.topic, handed.offset) == ("late", 2)
    assert world.ask("SELECT count(*) FROM fq.scheduled") == 1
    assert audit(world.store, "c").contradictions == ()


def test_g2_an_event_that_was_published_and_scheduled_under_one_id_comes_once_also_when_it_was_pruned_meanwhile(
    world: World,
) -> None:
    world.client(ordering="none")
    events.publish(world.eyes, "a", {}, id="x", deliver_after=3600)
    other = events.publish(world.eyes, "a", {}, id="y", deliver_after=3600)
    assert events.publish(world.eyes, "a", {}, id="x") == 1
    world.publish(None)
    world.succeed(*world.hand_over())
    prune(world.store, before=None, keep=1)
    assert world.rows("events") == [2]
    world.eyes.execute("UPDATE fq.scheduled SET due_at = now() - interval '1 second'")
    append_due(world.store, most=10)
    [handed] = world.hand_over()
    assert handed.offset == 3
    assert other.offset is None and events.publish(world.eyes, "a", {}, id="y") == 3

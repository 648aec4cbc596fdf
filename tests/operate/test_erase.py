"""Erase: what the events of a key hold is gone, and nothing else of the log changes; no other UPDATE is let through."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest

import bridge
from bridge.errors import StoreLocked
from bridge.model import Position
from bridge.operate import erase as module
from bridge.operate.erase import Erasure
from bridge.operate.parked import redrive
from bridge.operate.replay import replay
from bridge.store import Store
from bridge.store.parked import Selection
from bridge.store.scheduled import append_due
from tests.conftest import Connect
from tests.operate.parking import park
from tests.support.world import World, offsets

ERASED: tuple[dict[str, Any], dict[str, Any]] = ({"erased": True}, {})
KEY = "customer-17"
WRITES = 12
PRUNE = 'DELETE FROM fq.events WHERE "offset" % 7 = 0 AND "offset" <= (SELECT "offset" FROM fq.clients) - 20'


def erase(world: World, key: str = KEY, **options: Any) -> Erasure:
    return module.erase(world.store, key, by="me", **options)


def write(world: World, *keys: str | None) -> list[int]:
    """Append an event with a content of its own for each key."""
    return [
        bridge.publish(world.eyes, "order.created", {"email": "bob@example.org"}, key=key, headers={"user": "bob"})
        for key in keys
    ]


def content(world: World, offset: int) -> tuple[Any, Any]:
    return world.rows("events", "payload, headers")[world.rows("events").index(offset)]  # type: ignore[no-any-return]


def texts(world: World, table: str) -> list[Any]:
    """Return what attempts have left; what is kept of each failed one says the same."""
    rows = world.rows(table, "error_type, error, traceback, failures")
    for _, error, traceback, failures in rows:
        assert {(one.get("error"), one.get("traceback")) for one in failures} == {(error, traceback)}
    return [row[:3] for row in rows]


def test_scheduled_events_are_erased_and_still_appended_when_they_are_due(world: World) -> None:
    past = datetime(2026, 1, 31, tzinfo=UTC)
    for key in (KEY, "other"):
        bridge.publish(world.eyes, "order.late", {"email": "bob"}, key=key, headers={"user": "bob"}, deliver_at=past)
    assert erase(world, dry_run=True).scheduled == 1
    assert erase(world).scheduled == 1
    assert erase(world).scheduled == 0
    append_due(world.store, most=10)
    found = world.rows("events", "key, payload, headers")
    assert found == [(KEY, *ERASED), ("other", {"email": "bob"}, {"user": "bob"})]


def test_with_the_key_the_keys_and_ids_of_scheduled_events_are_replaced_too(world: World) -> None:
    bridge.publish(world.eyes, "a", {"n": 1}, key=KEY, id=f"{KEY}-1", deliver_after=60)
    bridge.publish(world.eyes, "a", {"n": 2}, key="other", id="other-1", deliver_after=60)
    erase(world)
    done = erase(world, key_too=True)
    assert (done.scheduled, done.scheduled_keys_replaced) == (0, 1) and done.pseudonym is not None
    query = "SELECT key, id, payload FROM fq.scheduled ORDER BY number"
    assert world.eyes.execute(query).fetchall() == [(done.pseudonym, None, ERASED[0]), ("other", "other-1", {"n": 2})]


def test_an_erased_event_keeps_its_place_and_nothing_of_what_it_held(world: World) -> None:
    world.client()
    write(world, KEY, "other", KEY, None)
    before = world.rows("events", '"offset", topic, key, created_at')
    tried = erase(world, dry_run=True)
    assert (tried.events, tried.erased, tried.dry_run) == (2, 2, True)
    assert content(world, 1) != ERASED, "not by a dry run"
    done = erase(world)
    assert (done.events, done.erased, done.complete, done.in_flight) == (2, 2, True, {})
    assert [content(world, offset) == ERASED for offset in (1, 2, 3, 4)] == [True, False, True, False]
    assert world.rows("events", '"offset", topic, key, created_at') == before
    assert "bob" not in str([content(world, 1), content(world, 3)])
    assert erase(world).erased == 0, "a second run finds nothing"


def test_an_event_that_goes_out_later_is_erased_also_where_it_was_large(world: World) -> None:
    world.client(ordering="none")
    write(world, KEY)
    world.eyes.execute("INSERT INTO fq.events (key, payload) VALUES (%s, %s)", [KEY, json.dumps("bob " * 10_000)])
    erase(world)
    assert [json.loads(d.body)["payload"] for d in world.hand_over()] == [{"erased": True}] * 2


def test_many_events_are_erased_in_bounded_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_EVENTS", 3)
    write(world, *[KEY, "other"] * 10)
    written = "SELECT count(DISTINCT xmin::text) FROM fq.events WHERE payload = '{\"erased\": true}'"
    assert erase(world).erased == 10
    assert world.ask(written) == 4


# --- nobody else, and nothing else ---


@pytest.mark.parametrize(
    "change",
    [
        "payload = '{\"erased\": true}'",
        "headers = '{}'",
        "payload = '{\"erased\": false}', headers = '{}'",
        "payload = '{\"erased\": true}', headers = '{}', topic = 'x'",
        "payload = '{\"erased\": true}', headers = '{}', created_at = now()",
        "payload = '{\"erased\": true}', headers = '{}', \"offset\" = DEFAULT",
        "payload = '{\"erased\": true}', headers = '{}', key = 'other'",
        "payload = '{\"erased\": true}', headers = '{}', key = NULL",
        "payload = '{\"erased\": true}', headers = '{}', key = 'erased-' || repeat('0', 32)",  # it is not done yet
    ],
)
def test_no_other_update_of_an_event_is_let_through_not_even_the_owner_s(world: World, change: str) -> None:
    world.client()
    write(world, KEY)
    before = world.rows("events", "*")
    with pytest.raises(psycopg.Error) as refused:
        world.eyes.execute(f"UPDATE fq.events SET {change}".encode())
    assert refused.value.sqlstate == "FQ001"
    assert world.rows("events", "*") == before


# --- what attempts have left ---


def test_the_texts_of_errors_are_erased_and_the_types_stay(world: World) -> None:
    park(world, KEY, "other")
    world.client(max_attempts=5, backoff_seconds=0)
    write(world, KEY)
    world.fail(*world.hand_over())
    world.fail(*world.hand_over())
    assert erase(world).texts == 2
    assert texts(world, "parked") == [("ValueError", "erased", None), ("ValueError", "no", None)]
    assert texts(world, "deliveries") == [("ValueError", "erased", "erased")]


def test_why_an_event_could_not_become_a_message_is_erased_too_for_it_may_quote_the_event(world: World) -> None:
    park(world, KEY, "other")
    world.eyes.execute("UPDATE fq.parked SET reason = 'undeliverable: bob@example.org is no number'")
    assert erase(world, dry_run=True).texts == 1
    assert erase(world).texts == 1
    reasons = dict(world.rows("parked", "key, reason"))
    assert reasons == {KEY: "undeliverable: erased", "other": "undeliverable: bob@example.org is no number"}
    assert erase(world).texts == 0


def test_an_attempt_that_was_out_at_the_time_leaves_no_text_when_it_fails(world: World) -> None:
    world.client(max_attempts=2)
    write(world, KEY, "other")
    first = world.hand_over()
    assert erase(world).in_flight == {"c": 1}
    world.fail(*first)
    assert texts(world, "deliveries") == [("ValueError", "erased", "erased"), ("ValueError", "no", "Traceback …")]
    world.make_due()
    world.fail(*world.hand_over())
    assert texts(world, "parked") == [("ValueError", "erased", "erased"), ("ValueError", "no", "Traceback …")]
    redrive(world.store, "c", Selection(keys=(KEY,)), by="me")
    assert json.loads(world.hand_over()[0].body)["payload"] == {"erased": True}


def test_a_delivery_in_its_handler_s_transaction_is_not_waited_for(world: World, connect: Connect) -> None:
    world.client()
    write(world, KEY)
    world.fail(*world.hand_over())
    handler = connect(autocommit=False)
    handler.execute("SELECT FROM fq.deliveries FOR UPDATE")
    assert (erase(world).texts, erase(world).texts_left) == (0, 1)
    handler.rollback()
    assert (erase(world).texts, erase(world).texts_left) == (1, 0)


def test_the_journal_tells_that_it_was_done_and_never_a_key(world: World) -> None:
    park(world, KEY)
    write(world, KEY)
    redrive(world.store, "c", Selection(keys=(KEY,)), by="me")
    erase(world, key_too=True)
    journal = world.eyes.execute(
        "SELECT client_id, action, details FROM fq.journal WHERE action NOT IN ('register', 'change') ORDER BY id"
    ).fetchall()
    assert journal[-1] == ("*", "erase", {"events": 2, "exact": True, "upto": 2, "key_too": True})
    assert KEY not in str(journal)


# --- the key too ---


def test_g4_a_key_is_replaced_only_where_no_client_needs_it_for_its_order(world: World) -> None:
    world.client()
    write(world, KEY, KEY, KEY)
    world.client("behind", start="beginning", ordering="strict")
    [first] = world.hand_over()
    kept = erase(world, key_too=True)
    assert (kept.erased, kept.keys_replaced, kept.keys_kept, kept.pseudonym) == (3, 0, 3, None)
    for client in ("c", "behind"):
        handed = [first] if client == "c" else world.hand_over(client)
        world.succeed(*handed)
        world.succeed(*world.hand_over(client))
    some = erase(world, key_too=True)
    assert (some.keys_replaced, some.keys_kept) == (2, 1)
    assert world.rows("events", "key") == [some.pseudonym, some.pseudonym, KEY]
    for client in ("c", "behind"):
        handed = world.hand_over(client)
        assert offsets(handed) == [3], "its lane has not lost it"
        world.succeed(*handed)
    assert erase(world, key_too=True).keys_replaced == 1
    assert KEY not in world.rows("events", "key")


def test_g1_the_key_of_a_parked_event_and_of_one_in_a_replay_stays(world: World) -> None:
    park(world, KEY)
    write(world, KEY, KEY)
    world.client(max_attempts=5)
    while handed := world.hand_over():
        world.succeed(*handed)
    assert erase(world, key_too=True).keys_kept == 1, "it is parked"
    world.eyes.execute("DELETE FROM fq.parked")
    write(world, KEY, KEY)
    while handed := world.hand_over():
        world.succeed(*handed)
    replay(world.store, "c", start=Position(offset=4), end=Position(offset=5), per_second=1000, by="me")
    [waiting] = world.hand_over()
    assert erase(world, key_too=True).keys_kept == 2, "the replay has one in hand and one aside"
    world.succeed(waiting)
    world.succeed(*world.hand_over())
    assert [d.offset for d in world.sent][-2:] == [4, 5]
    world.hand_over()
    assert erase(world, key_too=True).keys_kept == 0


def test_a_client_that_is_held_for_long_is_said(
    world: World, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TRIES", 2)
    world.client()
    write(world, KEY)
    world.succeed(*world.hand_over())
    holder = connect(autocommit=False)
    holder.execute("SELECT FROM fq.clients FOR NO KEY UPDATE")
    with pytest.raises(StoreLocked):
        erase(world, key_too=True)
    assert content(world, 1) == ERASED
    holder.rollback()
    assert erase(world, key_too=True).keys_replaced == 1


# --- at the same time ---


def test_g2_an_event_whose_transaction_is_open_is_said_to_come(world: World, connect: Connect) -> None:
    writer = connect(autocommit=False)
    bridge.publish(writer, "a", {"email": "bob"}, key=KEY)
    write(world, KEY)
    assert not erase(world).complete
    writer.commit()
    assert content(world, 1) != ERASED
    again = erase(world)
    assert (again.complete, again.erased) == (True, 1)


@pytest.mark.parametrize("key_too", [False, True])
def test_g4_writers_a_pump_and_a_deleter_go_on_while_keys_are_erased(
    world: World, database: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, key_too: bool
) -> None:
    """Each event is handed over once and in the order of its key, and what is left of the key is erased."""
    monkeypatch.setattr(module, "BATCH_EVENTS", 5)
    world.client(window=20)
    stopping, failures = threading.Event(), list[BaseException]()

    def keep(step: Callable[[], object], times: int = 10**9) -> threading.Thread:
        def run() -> None:
            try:
                for _ in range(times):
                    if stopping.is_set():
                        return
                    step()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def append(writer: psycopg.Connection[Any]) -> None:
        bridge.publish_many(writer, [("a", {"n": 1}, KEY), ("a", {"n": 1}, KEY), ("a", {"n": 1}, "other")])

    eraser, pruner = Store(database), connect()
    writers = [keep(partial(append, connect()), WRITES) for _ in range(2)]
    others = [
        keep(lambda: module.erase(eraser, KEY, by="me", key_too=key_too)),
        keep(lambda: pruner.execute(PRUNE)),
    ]
    while not failures and (any(it.is_alive() for it in writers) or world.cursor() < world.last()):
        world.succeed(*world.hand_over())
    stopping.set()
    for thread in [*writers, *others]:
        thread.join()
    eraser.close()
    assert failures == []
    erase(world, key_too=key_too)
    bodies = [json.loads(d.body) for d in world.sent]
    by_key = defaultdict(list)
    for body in bodies:
        by_key[body["key"]].append(body["offset"])
    assert [found == sorted(found) for found in by_key.values()] == [True] * len(by_key)
    assert sorted(body["offset"] for body in bodies) == list(range(1, 2 * 3 * WRITES + 1)), "each once"
    assert world.ask("SELECT count(*) FROM fq.events WHERE key <> 'other' AND payload <> '{\"erased\": true}'") == 0
    assert world.ask("SELECT count(*) FROM fq.events WHERE key = 'other' AND payload <> '{\"n\": 1}'") == 0
    left = world.ask(f"SELECT count(*) FROM fq.events WHERE key = '{KEY}'")
    assert left == 0 if key_too else left > 0

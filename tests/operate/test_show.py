"""What became of an event at every client, and where a key stands: each fate once, on a real log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery

import bridge
from bridge.errors import UsageError
from bridge.sql import for_psycopg
from bridge.store.events import FAR_EVENTS
from tests.conftest import Connect
from tests.support.world import World


@pytest.fixture
def operator(database: str) -> Iterator[bridge.Operator]:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.bridge_database_url = database
        with bridge.Operator(app, by="me@here") as operator:
            yield operator


def fates(operator: bridge.Operator, offset: int) -> dict[str, str]:
    return {it.client: it.fate for it in operator.show(offset).fates}


def text(operator: bridge.Operator, offset: int, client: str = "c") -> str:
    [it] = [it for it in operator.show(offset).fates if it.client == client]
    return it.text


def test_each_fate_of_an_event_is_told(operator: bridge.Operator, world: World) -> None:
    world.client(max_attempts=2, on_exhausted="hold-key", backoff_seconds=600)
    world.client("other-topic", topics=["invoice.*"])
    world.client("paused", start="beginning")
    operator.pause("paused")
    world.publish("done", "open", "open", "parked", "parked", "retrying", "discarded", None)
    world.eyes.execute("SELECT fq.commit('reader', 2)")
    first = {it.offset: it for it in world.hand_over()}
    assert sorted(first) == [1, 2, 4, 6, 7, 8]
    world.succeed(first[1], first[8])
    world.fail(first[4], first[6], first[7])
    operator.discard("c", offsets=[7], reason="a mistake")
    world.eyes.execute('UPDATE fq.deliveries SET due_at = now() WHERE "offset" = 4')
    world.eyes.execute("UPDATE fq.clients SET wake_at = now()")
    world.fail(*world.hand_over())
    world.publish(None)

    assert {offset: fates(operator, offset)["c"] for offset in range(1, 10)} == {
        1: "done",
        2: "open",
        3: "waiting",
        4: "parked",
        5: "waiting",
        6: "retrying",
        7: "discarded",
        8: "done",
        9: "not-read",
    }
    assert fates(operator, 1) == {"c": "done", "other-topic": "skipped", "paused": "not-read", "reader": "done"}
    assert fates(operator, 3)["reader"] == "not-read"
    assert text(operator, 2).startswith("open: attempt 1, sent at ")
    assert text(operator, 3) == "waits for event 2, of the same key"
    assert "after 2 attempts: failed 2 times: ValueError: no; its key waits" in text(operator, 4)
    assert text(operator, 5) == "waits for event 4, of the same key"
    assert text(operator, 6).startswith("attempt 1 failed, the next one is due at ")
    assert text(operator, 7).startswith("given up by me@here at ")
    assert text(operator, 8) == "finished; the cursor, at 1, is still below it"
    assert text(operator, 9) == "not read yet: the client stands at 8"
    assert "the client is paused" in text(operator, 9, "paused")
    shown = operator.show(2)
    assert (shown.found, shown.event and shown.event.key, shown.generation) == ("log", "open", 1)
    [at_c] = [it for it in shown.fates if it.client == "c"]
    assert (at_c.data["task_id"], at_c.data["attempt"]) == ("c:2", 1)


def test_what_a_client_began_behind_is_not_called_done(operator: bridge.Operator, world: World) -> None:
    world.publish(None, None)
    world.client(start="now")
    world.publish(None)
    world.succeed(*world.hand_over())
    assert [fates(operator, offset)["c"] for offset in (1, 2, 3)] == ["passed", "passed", "done"]
    assert "(to 2)" in text(operator, 1)


def test_an_event_that_never_was_or_is_not_final_or_not_there_any_more_is_told_as_such(
    operator: bridge.Operator, world: World, connect: Connect, tmp_path: Path
) -> None:
    assert "there is no such event: the log is empty" in operator.show(1).note
    slow = connect(autocommit=False)
    slow.execute("INSERT INTO fq.events (topic) VALUES ('slow')")
    world.publish("k")
    assert operator.show(1).note == "there is no such event: its transaction is still open"
    assert operator.show(2).note.startswith("not final yet (final up to -1)")
    slow.rollback()
    world.client()
    world.succeed(*world.hand_over())
    assert operator.show(1).note == "there is no such event: its transaction was rolled back"
    assert operator.show(1).fates == ()
    world.publish(None)
    world.succeed(*world.hand_over())
    operator.prune(keep=1, archive=str(tmp_path))
    gone = operator.show(2)
    assert (gone.found, gone.event, gone.note) == (
        "nowhere",
        None,
        "it was pruned; if it was archived, --archive DIR says where",
    )
    assert [it.fate for it in gone.fates] == ["unknown"]
    kept = operator.show(2, archive=str(tmp_path), characters=1)
    assert (kept.found, kept.event and (kept.event.key, kept.event.payload_json)) == ("archive", ("k", "{"))
    assert [it.fate for it in kept.fates] == ["done"]
    operator.erase("k", archive=str(tmp_path))
    with pytest.raises(UsageError, match="typo is not there, or empty: is its name right"):
        operator.show(2, archive=f"{tmp_path}/typo")
    with pytest.raises(UsageError, match="typo is not there, or empty: is its name right"):
        operator.erase("k", archive=f"{tmp_path}/typo")
    with pytest.raises(UsageError, match="is not the offset of an event"):
        operator.show(2**63)


def test_a_key_is_told_by_client_with_what_is_handled_open_parked_and_waiting(
    operator: bridge.Operator, world: World
) -> None:
    world.client(max_attempts=1)
    world.client("idle")
    world.client("elsewhere", topics=["invoice.*"])
    world.publish("k", "other", "k", "k", "k", "k")
    world.succeed(*world.hand_over())
    world.fail(*world.hand_over())
    world.hand_over()
    world.publish("k")
    at = {it.client: it for it in operator.key("k")}
    it = at["c"]
    assert (it.handled, it.open, it.parked, it.waiting, it.unread) == (1, [4], [3], 2, 1)
    assert (at["idle"].handled, at["idle"].unread, at["idle"].waiting) == (None, 6, 0)
    assert (at["elsewhere"].handled, at["elsewhere"].unread) == (None, 0)
    assert not it.has_more
    assert [it.handled for it in operator.key("nobody")] == [None] * 3


def plan(eyes: psycopg.Connection[Any], name: str, binds: dict[str, Any]) -> dict[str, Any]:
    eyes.execute("SET plan_cache_mode = force_generic_plan")
    found = eyes.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + for_psycopg(name), binds).fetchone()
    assert found is not None
    [told] = found[0]
    return dict(told["Plan"])


def test_looking_up_reads_a_few_pages_of_a_long_log(operator: bridge.Operator, world: World) -> None:
    """An event, a key and a rare topic are found by an index; no statement walks through the log."""
    for id in ("c", "d"):
        world.client(id)
    world.eyes.execute(
        "INSERT INTO fq.events (topic, key) SELECT 'order.' || n % 3, 'k' || n % 20000 FROM generate_series(1, 60000) n"
    )
    world.publish("rare", topic="rare.one")
    world.limit = 200
    world.hand_over()
    world.eyes.execute("ANALYZE fq.events")
    text = {"characters": 100}
    page = {"after": -1, "horizon": 60_001, "most": 10, **text}
    some: dict[str, dict[str, Any]] = {
        "look/event": {"offset": 30_000, **text},
        "look/event_at_clients": {"offset": 30_000, "topic": "order.1", "key": "k7", "entries": 10_000},
        "look/key_at_clients": {"key": "k7", "most": 10_000},
        "log/tail_key": {**page, "key": "k7", "topics": "", "also": ""},
        "log/tail_topics": {**page, "names": ["rare.one", "none"]},
        "log/topics_matching": {"topics": "rare", "also": "", "looked": 1000, "most": 20},
    }
    for name, binds in some.items():  # once before: the server reads its catalogs
        plan(world.eyes, name, binds)
    read = {name: plan(world.eyes, name, binds) for name, binds in some.items()}
    pages = {name: it["Shared Hit Blocks"] + it["Shared Read Blocks"] for name, it in read.items()}
    assert all(number < 200 for number in pages.values()), pages
    assert [it.offset for it in operator.tail(topics=["rare.*"])] == [60_001]
    assert [it.offset for it in operator.tail(topics=["rare.*"], start="beginning")] == [60_001]
    assert [it.offset for it in operator.tail(key="k7", client="c")] == [7, 20_007, 40_007]
    assert [it.offset for it in operator.tail(key="k7", topics=["order.0"], most=1)] == [20_007]
    assert list(operator.tail(key="k7", topics=["rare.*"])) == []
    assert FAR_EVENTS < 60_000


def test_a_look_back_that_no_index_helps_is_bounded_and_says_so(
    operator: bridge.Operator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.operate.tail.LOOKED_BACK_EVENTS", 15_000)
    monkeypatch.setattr("bridge.store.events.LOOKED_AT_ONCE", 4_000)
    monkeypatch.setattr("bridge.store.events.TOPICS_LOOKED_AT", 5)
    world.publish("k", topic="rare.old")
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'order.' || n % 30 FROM generate_series(1, 20000) n")
    said: list[str] = []
    assert list(operator.tail(topics=["rare.#"], say=said.append)) == []
    assert said == ["only the last 15,000 events were looked at: --from or --since looks further back"]
    assert [it.offset for it in operator.tail(topics=["rare.#"], start="beginning", say=said.append)] == [1]
    assert len([*operator.tail(topics=["order.1", "order.2"], start="beginning")]) == 1334
    assert len(said) == 1

"""Run the whole loop with real workers: events in Postgres, a bridge, and a fleet that does not know of the bridge.

A test looks at what the fleet noted and at what plain SQL says.
"""

from __future__ import annotations

import signal
from datetime import datetime

import psycopg
import pytest

import bridge
from tests.support.fleets import let_go_on, offsets
from tests.support.stage import REPOSITORY, Stage
from tests.support.waiting import wait_until


def test_events_published_in_python_and_in_plain_sql_are_handled_and_the_cursor_reaches_the_end(loop: Stage) -> None:
    loop.client("both", topics=["both.#", "event"])
    with psycopg.connect(loop.database_url) as connection:
        first = bridge.publish(connection, "both.python", {"by": "python"})
        connection.execute('INSERT INTO fq.events (payload) VALUES (\'{"name": "first event"}\')')
        connection.execute("SELECT fq.put('{\"by\": \"put\"}', 'both.put', 'some key')")
        assert not loop.is_done("both")
    loop.wait_until_done("both")
    assert sorted(offsets(loop.handled("handle", by="python"))) == [first]
    assert len(loop.handled("handle", name="first event")) == len(loop.handled("handle", by="put")) == 1
    assert loop.ask("SELECT (delivered, succeeded)::text FROM fq.clients WHERE id = 'both'") == "(3,3)"


def test_the_handler_gets_exactly_the_event_as_one_dict(loop: Stage) -> None:
    loop.client("shape")
    payload = {"deep": {"list": [1, 2.5, None, True, "ä\u2028"]}, "big": 2**53 + 1}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with psycopg.connect(loop.database_url) as connection:
        offset = bridge.publish(connection, "shape.a.b", payload, key="key 1", headers={"traceparent": trace, "x": 1})
    loop.wait_until_done("shape")
    [noted] = [note for note in loop.handled("handle") if note["args"][0]["client"] == "shape"]
    event = noted["args"][0]
    assert datetime.fromisoformat(event.pop("created_at")) == loop.ask(
        'SELECT created_at FROM fq.events WHERE "offset" = %s', offset
    )
    assert event == {
        "offset": offset,
        "generation": 1,
        "topic": "shape.a.b",
        "key": "key 1",
        "payload": payload,
        "headers": {"traceparent": trace, "x": 1},
        "client": "shape",
        "attempt": 1,
        "epoch": 1,
    }
    assert noted["kwargs"] == {}
    assert noted["id"] == f"shape:{offset}"
    assert noted["headers"] == {"bridge_client": "shape", "bridge_offset": offset, "traceparent": trace}


def test_two_clients_read_the_same_log_and_a_slow_one_does_not_hold_back_the_other(loop: Stage) -> None:
    loop.client("slow", topics=["shared.#"])
    loop.client("quick", topics=["shared.#"], task="plain.archive")
    numbers = [loop.publish("shared.event", {"do": "wait"} if n == 0 else {}) for n in range(10)]
    loop.wait_until_done("quick")
    quick = offsets([note for note in loop.handled("archive") if note["args"][0]["client"] == "quick"])
    assert sorted(quick) == numbers
    assert not loop.is_done("slow")
    assert loop.ask("SELECT \"offset\" < %s FROM fq.clients WHERE id = 'slow'", numbers[0])
    let_go_on(loop.redis_url, numbers[0])
    loop.wait_until_done("slow")


def test_a_client_may_ask_for_the_payload_alone_or_for_its_fields_as_keyword_arguments(loop: Stage) -> None:
    loop.client("bare", topics=["call.#"], call="payload", task="plain.store")
    loop.client("keywords", topics=["call.invoice"], call="kwargs", task="plain.send_invoice")
    loop.publish("call.invoice", {"order_id": 7, "email": "a@example.org"})
    loop.publish("call.list", [1, "two"])
    loop.wait_until_done("bare", "keywords")
    payloads = sorted((note["args"][0] for note in loop.handled("store")), key=str)
    assert payloads == [[1, "two"], {"order_id": 7, "email": "a@example.org"}]
    [invoice] = loop.handled("send_invoice")
    assert (invoice["args"], invoice["kwargs"]) == ([], {"order_id": 7, "email": "a@example.org"})


def test_a_payload_that_has_no_keyword_arguments_is_parked_and_the_rest_flows(loop: Stage) -> None:
    loop.client("no-keywords", call="kwargs", task="plain.send_invoice")
    poison = loop.publish("no-keywords.list", [1])
    loop.publish("no-keywords.invoice", {"order_id": 8, "email": "b@example.org"})
    loop.wait_until_done("no-keywords")
    assert [note["kwargs"]["order_id"] for note in loop.handled("send_invoice")][-1] == 8
    assert loop.ask("SELECT array_agg(\"offset\") FROM fq.parked WHERE client_id = 'no-keywords'") == [poison]


def test_routes_send_topics_to_other_tasks_of_the_fleet(loop: Stage) -> None:
    loop.client("routed", routes=[["routed.archive.*", "plain.archive"], ["routed.archive.#", "plain.nobody"]])
    here, there = loop.publish("routed.order"), loop.publish("routed.archive.order")
    loop.wait_until_done("routed")
    tasks = {note["id"]: note["task"] for note in loop.handled() if note["id"].startswith("routed:")}
    assert tasks == {f"routed:{here}": "plain.handle", f"routed:{there}": "plain.archive"}


def test_g7_a_failing_event_is_retried_then_parked_and_the_rest_flows(loop: Stage) -> None:
    loop.client("poison", max_attempts=3)
    poison = loop.publish("poison.event", {"do": "fail"}, key="same")
    recovers = loop.publish("poison.event", {"do": "fail once"}, key="other")
    rest = [loop.publish("poison.event", {"rest": n}, key="same") for n in range(3)]
    let_go_on(loop.redis_url, recovers)
    loop.wait_until_done("poison")
    notes = [note for note in loop.handled("handle") if note["id"].startswith("poison:")]
    assert [note["id"] for note in notes if offsets([note]) == [poison]] == [
        f"poison:{poison}",
        f"poison:{poison}:a2",
        f"poison:{poison}:a3",
    ]
    assert [note["args"][0]["attempt"] for note in notes if offsets([note]) == [recovers]] == [1, 2]
    assert [offset for offset in offsets(notes) if offset not in (poison, recovers)] == rest
    assert offsets(notes).index(rest[0]) > max(n for n, note in enumerate(notes) if offsets([note]) == [poison])
    parked = loop.eyes.execute("SELECT \"offset\", attempts FROM fq.parked WHERE client_id = 'poison'").fetchall()
    assert parked == [(poison, 3)]


def test_g1_an_event_whose_worker_is_killed_mid_task_is_handed_over_again(loop: Stage) -> None:
    loop.client("mortal", queue="chores", ack_timeout_seconds=600)
    mortal = loop.fleet("mortal", queue="chores", concurrency=1)
    offset = loop.publish("mortal.event", {"do": "die"})
    wait_until(lambda: mortal.exit_code is not None, what="the task has killed its worker")
    assert mortal.exit_code == -signal.SIGKILL
    assert [note["id"] for note in loop.handled("handle", do="die")] == [f"mortal:{offset}"]
    assert not loop.is_done("mortal")
    loop.fleet("successor", queue="chores", concurrency=1)
    assert len(loop.handled("handle", do="die")) == 1, "not yet: its lease has not ended"
    loop.end_leases("mortal")
    loop.wait_until_done("mortal")
    first, second, *more = loop.handled("handle", do="die")
    assert (second["id"], second["args"][0]["attempt"]) == (f"mortal:{offset}:a2", 2)
    assert first["args"][0] == second["args"][0] | {"attempt": 1}
    assert more == []


def test_g6_two_bridges_with_two_beats_hand_no_event_over_twice(stage: Stage) -> None:
    stage.client("twice", window=200)
    stage.client("again", task="plain.archive", topics=["twice.#"], window=50)
    stage.bridge("one", wait=False, BRIDGE_PASS_LIMIT="40")
    stage.bridge("two", wait=False, BRIDGE_PASS_LIMIT="40")
    stage.fleet()
    numbers = []
    for _ in range(10):
        numbers += stage.publish_many("twice.event", 30)
    for worker in stage.workers:
        worker.wait_until_ready()
    stage.wait_until_done("twice", "again")
    assert sorted(offsets(stage.handled("handle"))) == sorted(offsets(stage.handled("archive"))) == numbers
    assert stage.ask("SELECT sum(delivered) || ' ' || sum(succeeded) FROM fq.clients") == "600 600"
    for worker in stage.workers:
        assert "can't be served" not in worker.log
        assert "Traceback" not in worker.log
        if worker in stage.workers[:2]:
            assert "its pump begins" in worker.log


@pytest.mark.slow
def test_without_the_collector_outcomes_are_settled_by_ordinary_tasks(stage: Stage) -> None:
    stage.client("plain", max_attempts=2)
    poison = stage.publish("plain.event", {"do": "fail"})
    stage.publish_many("plain.event", 30)
    started = stage.bridge(concurrency=3, BRIDGE_COLLECTOR="false")
    stage.fleet()
    stage.wait_until_done("plain")
    assert stage.ask('SELECT array_agg("offset") FROM fq.parked') == [poison]
    assert started.log.count("Task bridge.commit") >= 30
    assert started.log.count("Task bridge.fail") >= 2


@pytest.mark.slow
def test_the_reference_deployment_is_a_bridge_and_a_consumer_at_once(stage: Stage) -> None:
    if not (REPOSITORY / "celeryconfig.py").exists():
        pytest.skip("there is no reference deployment")
    reference = stage.reference()
    wait_until(lambda: stage.ask("SELECT count(*) = 3 FROM fq.clients"), what="its three clients are registered")
    stage.publish("order.created", {"quantity": 2}, key="order 1")
    stage.publish("order.paid", {"order_id": "order 1", "email": "a@example.org"}, key="order 1")
    stage.wait_until_done("invoices", "stock", "journal")
    assert "invoice for order order 1 goes to a@example.org" in reference.log
    assert "order order 1 reserves +2" in reference.log
    assert reference.stop() == 0

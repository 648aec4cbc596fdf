"""The watch on real brokers: what is lost goes out again, and nothing that somebody holds is doubled (G1, G6)."""

from __future__ import annotations

import pytest
from kombu import Connection

from bridge.broker.asking import ask_all
from tests.support.waiting import wait_until
from tests.watch.conftest import LONG, Watched

STATES = 'SELECT array_agg(state ORDER BY "offset") FROM fq.deliveries'


def test_g6_nothing_doubles_with_a_slow_fleet_and_a_busy_collector_and_what_is_lost_comes_again(
    watched: Watched,
) -> None:
    watched.client("c", topics=["#"], ordering="none", max_attempts=1)
    for do in ("wait", "retry later", "wait", "wait"):
        watched.publish("c.event", {"do": do})
    watched.hand_over()
    assert watched.misses() is None, "they wait in the queue"
    watched.fleet(concurrency=2)
    wait_until(
        lambda: len(watched.handled()) == 3 and not watched.length("fleet"), timeout=LONG, what="all are fetched"
    )
    for _ in range(2):
        wait_until(lambda: watched.misses() == set(), timeout=LONG, what="two run, one is fetched, one is scheduled")
    watched.go_on(1, 3, 4)
    wait_until(lambda: watched.length("bridge") == 3, timeout=LONG, what="three callbacks wait")
    assert watched.misses() is None, "callbacks wait for the collector"
    with Connection(watched.broker_url) as broker, broker.channel() as channel:
        channel.queue_purge("bridge")
    watched.settled(seconds_ago=3600)
    for _ in range(3):
        wait_until(lambda: watched.misses() == {1, 3, 4}, timeout=LONG, what="the collector may have them in hand")
    watched.settled(seconds_ago=0)
    wait_until(lambda: watched.watch.look() == 3, timeout=LONG, what="the callbacks are lost")
    assert watched.ask(STATES) == ["retrying", "sent", "retrying", "retrying"], "a worker holds the second"
    assert watched.hand_over() == 3
    assert watched.ask("SELECT max(attempt - earlier_attempts) FROM fq.deliveries") == 1


def test_g6_where_a_worker_may_hold_a_message_and_does_not_say_so_the_lease_decides(watched: Watched) -> None:
    watched.client("c", topics=["#"])
    watched.publish("c.event")
    watched.hand_over()
    watched.purge()
    watched.fleet("silent", env={"FLEET_IS_SILENT": "1"}, concurrency=1)
    assert [watched.misses(), watched.misses()] == [None, None]
    assert watched.ask(STATES) == ["sent"]


def test_g6_a_late_answer_to_the_question_before_takes_no_answer_s_place(watched: Watched) -> None:
    watched.fleet("answering", concurrency=1)
    app = watched.app_bridge.app
    with Connection(watched.broker_url) as broker:
        mailbox, channel = app.control.mailbox(broker), broker.default_channel
        mailbox.reply_queue(channel).declare()
        app.amqp.Producer(channel, auto_declare=False).publish(
            {"late": []},
            exchange=mailbox.reply_exchange.name,
            routing_key=mailbox.oid,
            headers={"ticket": "another"},
            serializer="json",
        )
        [(name, tasks)] = ask_all(app, broker, "active", {"safe": True}, seconds=LONG / 4, limit=1)
    assert name.startswith("answering@")
    assert tasks == []


def test_g1_workers_that_do_not_know_the_task_drop_its_messages_and_those_that_do_get_them(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.client("c", topics=["#"], task="plain.newer")
    watched.publish("c.event")
    watched.hand_over()
    watched.fleet("old", concurrency=1)
    wait_until(lambda: not watched.length("fleet"), timeout=LONG, what="it is dropped")
    for _ in range(2):
        wait_until(lambda: watched.misses() == {1}, timeout=LONG, what="none of them knows it")
    assert "its task plain.newer is not known to 1 worker of queue 'fleet'" in caplog.text
    watched.eyes.execute("UPDATE fq.clients SET task = 'plain.handle'")
    wait_until(lambda: watched.watch.look() == 1, timeout=LONG, what="a worker knows it now")

"""Run the whole loop on RabbitMQ with real workers; the collector acknowledges whole batches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import psycopg
import pytest
from celery import Celery
from kombu import Connection
from redis import Redis

from tests.conftest import WORKERS
from tests.support import rabbit
from tests.support.fleets import offsets
from tests.support.link import Link
from tests.support.stage import REPOSITORY, Stage
from tests.support.waiting import wait_until
from tests.support.workers import Worker

ASIDE = "outcomes of a client wait aside"


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, database: str, redis_url: str, amqp_url: str, tmp_path: Path
) -> Iterator[Stage]:
    """Return a stage of this test's own, with a RabbitMQ between bridge and fleet."""
    it = Stage(database, redis_url, tmp_path, broker_url=amqp_url)
    request.node.stash[WORKERS] = it.workers
    # Note which transaction settled which delivery.
    it.eyes.execute(
        """CREATE TABLE public.ended ("offset" bigint, transaction bigint DEFAULT txid_current());
           CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO public.ended VALUES (OLD."offset"); RETURN OLD; END $$;
           CREATE TRIGGER note_end AFTER DELETE ON fq.deliveries FOR EACH ROW EXECUTE FUNCTION note_end()"""
    )
    yield it
    it.close()


@pytest.fixture
def broker(amqp_url: str) -> Iterator[Connection]:
    """Return a connection of our own to the broker."""
    with Connection(amqp_url) as connection:
        yield connection


def waiting(broker: Connection, queue: str) -> int:
    """Return how many messages of a queue no consumer has; 0 if there is no such queue."""
    with broker.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except amqp.NotFound:
            return 0


def left(broker: Connection, queue: str) -> list[str]:
    """Empty a queue; return the names of the tasks that were in it."""
    with broker.channel() as channel:
        return [message.headers["task"] for message in iter(lambda: channel.basic_get(queue, no_ack=True), None)]


@contextmanager
def unable_to_settle(stage: Stage, broker: Connection, topic: str, number: int) -> Iterator[list[int]]:
    """Keep the outcomes of so many events from being settled, although all are handled; yield the offsets."""
    broker.default_channel.queue_declare("fleet", durable=True, auto_delete=False)
    numbers = stage.publish_many(topic, number)
    wait_until(lambda: stage.ask("SELECT delivered FROM fq.clients") == number, what="all are handed over")
    with psycopg.connect(stage.database_url) as holder:
        holder.execute("SELECT FROM fq.clients FOR UPDATE")
        stage.fleet()
        wait_until(lambda: len(stage.handled()) == number, what="all are handled")
        yield numbers


def wait_aside(*bridges: Worker) -> None:
    """Wait until the collectors of these have outcomes, and can't settle them for the lock that the test holds."""
    wait_until(lambda: all(ASIDE in it.log for it in bridges), what="each collector has outcomes that wait aside")


def test_events_are_handled_retried_and_parked_while_ticks_run_and_garbage_is_kept(
    stage: Stage, amqp_url: str, broker: Connection
) -> None:
    stage.client("loop", max_attempts=2)
    poison = stage.publish("loop.event", {"do": "fail"})
    numbers = stage.publish_many("loop.event", 200)
    # The fleet first: if it declares its queue in the middle of a pass, the broker drops the pass's first messages and
    # takes the others, and all of them are handed over again.
    stage.fleet()
    started = stage.bridge()
    stage.wait_until_done("loop")
    assert [note["id"] for note in stage.handled(do="fail")] == [f"loop:{poison}", f"loop:{poison}:a2"]
    assert stage.ask('SELECT array_agg("offset") FROM fq.parked') == [poison]
    with broker.channel() as channel:
        channel.basic_publish(amqp.Message("garbage"), exchange="", routing_key="bridge")
    with Celery("stranger", broker=amqp_url, set_as_current=False) as app:
        app.send_task("bridge.commit", args=["loop", 1, 1, 1, "forged"], queue="bridge")
        app.send_task("bridge.commit", args=["too few"], queue="bridge")
    wait_until(lambda: waiting(broker, "bridge.unreadable") == 1, what="the garbage is kept")
    numbers += stage.publish_many("loop.event", 10)
    stage.wait_until_done("loop")
    assert sorted(set(offsets(stage.handled()))) == [poison, *numbers]
    assert len(stage.handled()) == len(numbers) + 2, "nothing is handed over twice but what failed"
    wait_until(lambda: "the pump has handed over" in started.log, what="the tick that did it has ended")
    assert "Task bridge.commit" not in started.log, "no outcome was a task of its own"
    assert waiting(broker, "bridge") == 0


def test_many_outcomes_are_settled_in_one_transaction_and_acknowledged_together(
    stage: Stage, broker: Connection
) -> None:
    stage.client("batch", ordering="none")
    started = stage.bridge()
    with unable_to_settle(stage, broker, "batch.event", 100):
        wait_aside(started)
        wait_until(lambda: waiting(broker, "bridge") == 0, what="the collector has all outcomes")
    stage.wait_until_done("batch")
    assert stage.ask("SELECT count(*) FROM ended") == 100
    assert stage.ask("SELECT max(n) FROM (SELECT count(*) AS n FROM ended GROUP BY transaction) t") > 1
    assert started.stop() == 0
    assert set(left(broker, "bridge")) <= {"bridge.pump"}, "all outcomes are acknowledged"
    assert len(stage.handled()) == 100


@pytest.mark.slow
def test_of_two_collectors_one_is_killed_and_the_other_settles_what_it_had_taken(
    stage: Stage, broker: Connection
) -> None:
    stage.client("orphans", ordering="none")
    killed = stage.bridge("killed", wait=False)
    heir = stage.bridge("heir")
    killed.wait_until_ready()
    with unable_to_settle(stage, broker, "orphans.event", 300) as numbers:
        wait_aside(killed, heir)
        killed.kill()
        assert stage.ask("SELECT count(*) FROM fq.deliveries") == 300, "not yet: nothing is settled"
    stage.wait_until_done("orphans")
    assert sorted(offsets(stage.handled())) == numbers, "settled, not handed over again"


@pytest.mark.slow
def test_the_bridge_goes_on_by_itself_after_it_lost_the_broker(stage: Stage, amqp_url: str) -> None:
    port = urlsplit(amqp_url).port
    assert port is not None
    link = Link(port)
    stage.client("again")
    started, fleet = stage.bridge(CELERY_BROKER_URL=amqp_url.replace(f":{port}/", f":{link.port}/")), stage.fleet()
    numbers = stage.publish_many("again.event", 20)
    stage.wait_until_done("again")
    link.cut()
    numbers += stage.publish_many("again.event", 20)
    stage.wait_until_done("again")
    assert sorted(set(offsets(stage.handled()))) == numbers
    assert started.exit_code is fleet.exit_code is None
    link.close()


PAGE = REPOSITORY / "docs" / "brokers.md"
QUORUM = {"x-queue-type": "quorum"}


def is_quorum(broker: Connection, queue: str) -> bool:
    """Tell whether this is a quorum queue: the broker accepts its declaration as one."""
    with broker.channel() as channel:
        try:
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=QUORUM)
        except amqp.PreconditionFailed:
            return False
        return True


def test_g1_on_quorum_queues_what_a_killed_bridge_had_taken_is_settled_and_nothing_is_lost(
    stage: Stage, broker: Connection, tmp_path: Path
) -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "quorum.py").write_text(block)
    stage.client("safe", max_attempts=2)
    stage.fleet(env={"FLEET_QUEUE_ARGUMENTS": json.dumps(QUORUM)})
    poison = stage.publish("safe.event", {"do": "fail"})
    numbers = [stage.publish("safe.event", {"do": "lose the process"}), *stage.publish_many("safe.event", 60)]
    killed = stage.bridge(app="quorum", directory=tmp_path)
    wait_until(lambda: len(stage.handled()) > 20, what="some events are handled")
    killed.kill()
    stage.bridge("heir", app="quorum", directory=tmp_path)
    stage.wait_until_done("safe")
    assert is_quorum(broker, "fleet") and is_quorum(broker, "bridge")
    assert sorted(set(offsets(stage.handled()))) == [poison, *numbers]
    assert stage.ask('SELECT array_agg("offset") FROM fq.parked') == [poison]
    assert "Task bridge.commit" not in stage.workers[-1].log, "a collector takes them"


@pytest.mark.slow  # Celery's workers take their time to notice
def test_g1_a_virtual_host_that_is_deleted_and_made_anew_costs_no_event(stage: Stage, amqp_url: str) -> None:
    stage.client("gone")
    fleet = stage.fleet()
    stage.bridge()
    before = stage.publish_many("gone.event", 20)
    stage.wait_until_done("gone")
    lost = stage.publish("gone.event", {"do": "wait"})
    wait_until(lambda: lost in offsets(stage.handled()), what="an event is under way")
    rabbit.lose_host(amqp_url)
    wait_until(lambda: "Connection to broker lost" in fleet.log, what="the fleet has noticed")
    with Redis.from_url(stage.redis_url) as notebook:
        notebook.rpush(f"go-on:{lost}", *["go on"] * 5)
    after = stage.publish_many("gone.event", 20)
    stage.wait_until_done("gone")
    assert sorted(set(offsets(stage.handled()))) == [*before, lost, *after]
    assert [worker.exit_code for worker in stage.workers] == [None, None]

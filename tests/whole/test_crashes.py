"""Kill the pump, Postgres or the collector at the worst moment: nothing is lost, and the loop goes on (G1)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg
import pytest
from celery import Celery

from bridge.demo.servers import postgres_versions, run_postgres
from tests.conftest import WORKERS
from tests.support.databases import Databases
from tests.support.fleets import let_go_on, offsets
from tests.support.restarts import RestartablePostgres, answers
from tests.support.servers import need_postgres_programs
from tests.support.stage import Stage
from tests.support.waiting import wait_until


@pytest.mark.parametrize("victim", ["worker", pytest.param("pool process", marks=pytest.mark.slow)])
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


def test_g1_the_bridge_goes_on_by_itself_after_postgres_was_away(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path
) -> None:
    need_postgres_programs()
    with run_postgres(tmp_path, version=max(postgres_versions())) as admin_url:
        databases = Databases(admin_url)
        with databases.clone() as database:
            stage = Stage(database, redis_url, tmp_path)
            request.node.stash[WORKERS] = stage.workers
            server = RestartablePostgres(stage.ask("SHOW data_directory"), log_path=tmp_path / "postgres.log")
            try:
                stage.client("patient")
                held = stage.publish("patient.event", {"do": "wait"})
                numbers = [held, *stage.publish_many("patient.event", 300)]
                started, fleet = stage.bridge(), stage.fleet()
                wait_until(lambda: len(stage.handled()) > 100, what="the loop is busy")
                stage.eyes.close()
                server.stop()
                let_go_on(redis_url, held)  # its success comes while it can't be written down
                wait_until(
                    lambda: "outcomes wait" in started.log and "the pump waits" in started.log,
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
                server.start()  # the fixtures below drop the database
                wait_until(lambda: answers(admin_url), what="Postgres is back")
        databases.close()
        server.kill()


def test_what_a_killed_collector_had_taken_is_settled_by_another(stage: Stage) -> None:
    stage.client("orphans")
    stage.fleet()
    with psycopg.connect(stage.database_url) as holder:
        killed = stage.bridge("killed")
        held = stage.publish("orphans.event", {"do": "wait"})
        numbers = [held, *stage.publish_many("orphans.event", 20)]
        wait_until(lambda: stage.ask("SELECT succeeded = 20 FROM fq.clients"), what="all others are done")
        holder.execute("SELECT FROM fq.clients WHERE id = 'orphans' FOR UPDATE")
        let_go_on(stage.redis_url, held)
        wait_until(
            lambda: stage.taken("bridge.commit"), what="the collector has taken the outcome, and can't settle it"
        )
        killed.kill()
    [own] = {name.removesuffix(".held") for name in stage.taken("bridge.commit")}
    assert stage.redis.zscore("bridge.collectors", own) is not None, "its death will be seen"
    assert stage.ask('SELECT array_agg("offset") FROM fq.deliveries') == [held]
    stage.redis.zadd("bridge.collectors", {own: 0})  # as if it had been dead for long
    stage.bridge("heir")
    stage.wait_until_done("orphans")
    assert sorted(offsets(stage.handled())) == numbers, "settled, not handed over again"
    assert not [name for name in stage.taken() if name.startswith(own)]


def pid_of_the_pump(stage: Stage) -> int:
    """Return the pid of the pool process that runs the pump, as the worker itself reports it."""
    with Celery("inspector", broker=stage.redis_url) as app:
        active = wait_until(app.control.inspect(timeout=2).active, what="the worker says what it runs")
    oldest = min((task for tasks in active.values() for task in tasks), key=lambda task: float(task["time_start"]))
    assert oldest["name"] == "bridge.pump"
    return int(oldest["worker_pid"])

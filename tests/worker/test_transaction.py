"""`bridge.transaction`: the handler's writes and the end of its delivery are one (exactly-once effect)."""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg
import pytest
from celery import Celery
from celery.exceptions import Ignore
from sqlalchemy import text
from sqlalchemy.orm import Session

import bridge
from bridge.model import Delivery
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World

WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


def event(delivery: Delivery) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(delivery.body)
    return found


@pytest.fixture
def handled(world: World) -> Delivery:
    """An event that was handed over, and a table for its handler."""
    world.eyes.execute("CREATE TABLE effects (n bigint)")
    world.client()
    world.publish("k", "k")
    [delivery] = world.hand_over()
    return delivery


def effects(world: World) -> int:
    return int(world.eyes.execute("SELECT count(*) FROM effects").fetchone()[0])  # type: ignore[index]


def test_the_handler_s_writes_and_the_end_of_the_delivery_commit_together(world: World, handled: Delivery) -> None:
    with Session(world.store.engine) as mine, bridge.transaction(event(handled), mine) as session:
        session.execute(text("INSERT INTO public.effects VALUES (1)"))
        assert effects(world) == 0
        assert world.rows("deliveries", "state") == ["sent"]
    assert effects(world) == 1
    assert world.rows("deliveries", "state") == ["done"]
    assert world.succeed(handled).succeeded == 1
    assert world.cursor() == 1


def test_a_handler_that_fails_leaves_no_trace_and_is_retried(world: World, handled: Delivery) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Session(world.store.engine) as mine,
        bridge.transaction(event(handled), mine) as session,
    ):
        session.execute(text("INSERT INTO public.effects VALUES (1)"))
        raise ZeroDivisionError
    assert effects(world) == 0
    assert world.fail(handled).retried == 1


def test_a_redelivered_event_that_is_done_is_refused_before_the_body_runs(
    world: World, handled: Delivery, connect: Connect
) -> None:
    with bridge.transaction(event(handled), connect()) as connection:
        connection.execute("INSERT INTO effects VALUES (1)")
    with (
        pytest.raises(bridge.AlreadyDone, match="event 1 of generation 1 is not open for client 'c'") as refused,
        bridge.transaction(event(handled), connect()),
    ):
        pytest.fail("the body ran")
    assert isinstance(refused.value, Ignore), "Celery ignores the task that lets it through"
    world.succeed(handled)
    with pytest.raises(bridge.AlreadyDone), bridge.transaction(event(handled), connect()):
        pytest.fail("the body ran")


def test_an_event_whose_callback_was_lost_is_finished_when_its_lease_ends(
    world: World, handled: Delivery, connect: Connect
) -> None:
    with bridge.transaction(event(handled), connect()):
        pass
    assert world.hand_over() == []
    world.make_due()
    [successor] = world.hand_over()
    assert successor.offset == 2, "finished, not handed over again, and its key goes on"
    assert world.cursor() == 1
    assert world.row()["succeeded"] == 1


def test_a_handler_inside_its_transaction_is_not_doubled_when_its_lease_runs_out(
    world: World, handled: Delivery, connect: Connect
) -> None:
    world.make_due()
    with bridge.transaction(event(handled), connect()):
        assert world.hand_over() == []


def test_of_two_attempts_at_once_one_waits_and_is_refused(world: World, handled: Delivery, connect: Connect) -> None:
    world.make_due()
    [second] = world.hand_over()
    refused = threading.Event()

    def late() -> None:
        with pytest.raises(bridge.AlreadyDone), bridge.transaction(event(second), connect()):
            pytest.fail("the body ran twice")
        refused.set()

    other = threading.Thread(target=late)
    with bridge.transaction(event(handled), connect()) as connection:
        other.start()
        wait_until(lambda: world.ask(WAITS), what="the second attempt waits for the first one's transaction")
        assert not refused.is_set()
        connection.execute("INSERT INTO effects VALUES (1)")
    assert refused.wait(30)
    other.join(30)
    assert effects(world) == 1


def test_an_event_of_an_epoch_that_is_gone_is_refused(world: World, handled: Delivery, connect: Connect) -> None:
    world.eyes.execute("DELETE FROM fq.clients")
    with pytest.raises(bridge.AlreadyDone), bridge.transaction(event(handled), connect()):
        pytest.fail("the body ran")


def test_without_a_session_it_uses_the_bridge_s_own(world: World, handled: Delivery, database: str) -> None:
    app = Celery("fleet", broker="memory://", set_as_current=True)
    app.conf.bridge_database_url = database
    try:
        with bridge.transaction(event(handled)) as session:
            session.execute(text("INSERT INTO effects VALUES (1)"))  # looked up as the role does: in `public`
            settings = "SELECT current_setting('search_path'), current_setting('row_security')"
            assert session.execute(text(settings)).all() == [('"$user", public', "on")]
        assert effects(world) == 1
        bridge.app.bridge_of(app).store.close()
    finally:
        app.close()


@pytest.mark.parametrize("event", [{}, None, {"client": "c"}, {"client": "c", "offset": "x"}, []])
def test_what_is_no_event_s_dict_is_a_clear_error(event: Any) -> None:
    with pytest.raises(bridge.UsageError, match="--call event"), bridge.transaction(event):
        pass


def test_a_session_inside_a_transaction_is_a_clear_error(world: World, handled: Delivery, database: str) -> None:
    with (
        Session(world.store.engine) as session,
        session.begin(),
        pytest.raises(bridge.UsageError, match="inside"),
        bridge.transaction(event(handled), session),
    ):
        pass
    with psycopg.connect(database) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(bridge.UsageError, match="inside"), bridge.transaction(event(handled), connection):
            pass


def test_a_session_that_commits_each_statement_by_itself_is_a_clear_error(world: World, handled: Delivery) -> None:
    engine = world.store.engine.execution_options(isolation_level="AUTOCOMMIT")
    with (
        Session(engine) as mine,
        pytest.raises(bridge.UsageError, match="commits by itself"),
        bridge.transaction(event(handled), mine) as session,
    ):
        session.execute(text("INSERT INTO public.effects VALUES (1)"))
        pytest.fail("the body ran")
    assert (effects(world), world.rows("deliveries", "state")) == (0, ["sent"])


def test_a_failure_does_not_undo_what_another_attempt_commits_meanwhile(
    world: World, handled: Delivery, connect: Connect
) -> None:
    with bridge.transaction(event(handled), connect()) as connection:
        connection.execute("INSERT INTO effects VALUES (1)")
        assert world.fail(handled).retried == 0, "its event is in another handler's hands"
    assert world.rows("deliveries", "state") == ["done"]
    assert world.hand_over() == []


def test_a_failure_after_the_effect_finishes_the_event(world: World, handled: Delivery, connect: Connect) -> None:
    with bridge.transaction(event(handled), connect()) as connection:
        connection.execute("INSERT INTO effects VALUES (1)")
    settled = world.fail(handled)
    assert (settled.succeeded, settled.retried) == (1, 0)
    assert world.cursor() == 1


def test_in_a_batch_in_calls_an_event_that_is_done_interrupts_the_batch(
    world: World, handled: Delivery, connect: Connect
) -> None:
    with bridge.transaction(event(handled), connect()) as connection:
        connection.execute("INSERT INTO effects VALUES (1)")
    with Celery("fleet", broker="memory://", backend="cache+memory://") as app:
        app.conf.task_always_eager = True

        @app.task(name="fleet.handle")
        def handle(event: dict[str, Any]) -> None:
            with bridge.transaction(event, connect()):
                pytest.fail("the body ran")

        alone = handle.delay(event(handled))
        many = handle.map([event(handled)]).apply_async()
    assert alone.state == "IGNORED"
    assert many.state == "FAILURE"
    assert isinstance(many.result, bridge.BatchInterrupted)

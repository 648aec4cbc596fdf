"""Reports of a fleet's own worker: none is lost while Postgres is away (G1), and a forged one changes nothing (G6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from celery import Celery, Task
from celery.app.trace import build_tracer
from celery.exceptions import Reject, WorkerShutdown, WorkerTerminate
from celery.signals import task_failure, task_success

from bridge.app import bridge_of
from bridge.bounds import ERROR_MESSAGE_BYTES
from bridge.contract import args_in_headers, sign
from bridge.model import Delivery
from bridge.settle import read_callbacks
from bridge.worker import in_process, outbox
from tests.conftest import Connect
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.fixture
def link(world: World) -> Iterator[Link]:
    link = Link(world.store.engine.url.port or 5432)
    yield link
    link.close()


@pytest.fixture
def task(world: World, link: Link) -> Iterator[Task[Any, Any]]:
    """A task of a fleet whose worker reports in-process, and reaches Postgres by the link."""
    through = world.store.engine.url.set(host="127.0.0.1", port=link.port)
    with Celery("fleet", broker="memory://", set_as_current=False) as app:
        app.conf.update(
            bridge_database_url=through.render_as_string(hide_password=False), bridge_connect_timeout_seconds=1
        )
        in_process.connect()

        @app.task(name="fleet.handle", shared=False)  # else every app of this process gets it
        def handle() -> None:
            pass

        yield handle
        outbox.close_all()
        bridge_of(app).store.close()


def headers(world: World, delivery: Delivery, **other: Any) -> dict[str, Any]:
    """The headers of a delivery's message, signed with the key that the database keeps."""
    secret = world.eyes.execute("SELECT value FROM fq.settings WHERE name = 'secret'").fetchone()[0]  # type: ignore[index]
    client = delivery.client.id
    signature = sign(secret, (client, delivery.offset, delivery.epoch, delivery.attempt), generation=1)
    values = {"client": client, "offset": delivery.offset, "epoch": delivery.epoch, "attempt": delivery.attempt}
    return {f"bridge_{name}": value for name, value in {**values, "signature": signature, **other}.items()}


def end(task: Task[Any, Any], request: dict[str, Any], error: Exception | None = None) -> None:
    """Let a task end that has these headers; no receiver of its signals may raise."""
    task.push_request(**request)
    if error is None:
        answers = task_success.send(sender=task, result=None)
    else:
        answers = task_failure.send(sender=task, exception=error, einfo=None)
    task.pop_request()
    assert [answer for _, answer in answers if isinstance(answer, Exception)] == []


def test_g1_what_ends_while_postgres_is_away_is_settled_when_it_is_back(
    world: World, link: Link, task: Task[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    world.client(report_by="in-process")
    world.publish(None, None)
    first, second = world.hand_over()
    link.mute()  # before anything has been read from there, the secret neither
    end(task, headers(world, first))
    end(task, headers(world, second), ValueError("no"))
    wait_until(lambda: "outcomes wait" in caplog.text, what="Postgres does not answer")
    link.cut()
    wait_until(lambda: world.cursor() == 1, what="the success is settled")
    assert world.rows("deliveries", '"offset", state, error_type, error') == [(2, "retrying", "ValueError", "no")]


def test_g6_a_report_with_forged_headers_changes_nothing(world: World, task: Task[Any, Any]) -> None:
    world.client(report_by="in-process")
    world.publish(None, None)
    first, second = world.hand_over()
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    forged = [
        headers(world, first, offset=second.offset),
        headers(world, first, attempt=2),
        headers(world, first, signature="0" * 32),
        headers(world, first, client=None),
        headers(world, first, offsets=[first.offset, second.offset]),
        headers(world, first, offsets=nested),
    ]
    before = read_callbacks.malformed.count + read_callbacks.forged.count
    for request in forged:
        end(task, request)
        end(task, request, ValueError("no"))
    end(task, headers(world, first))
    wait_until(lambda: world.cursor() == 1, what="the genuine one, reported last, is settled")
    assert world.rows("deliveries", '"offset", state') == [(2, "sent")]
    counted = read_callbacks.malformed.count + read_callbacks.forged.count - before
    assert counted == 2 * len(forged), "the log has a line a minute of each kind"


def test_a_message_with_callbacks_or_without_a_signature_reports_nothing_in_process(task: Task[Any, Any]) -> None:
    signed = {"bridge_client": "c", "bridge_offset": 1, "bridge_epoch": 1, "bridge_attempt": 1, "bridge_signature": "s"}
    for request, found in [
        (signed, ("c", 1, 1, 1, "s")),
        (signed | {"bridge_offsets": [1, 2]}, ("c", [1, 2], 1, 1, "s")),
        (signed | {"callbacks": [{"task": "bridge.commit"}]}, None),
        ({**signed, "bridge_signature": None}, None),
        ({}, None),
    ]:
        task.push_request(**request)
        assert args_in_headers(task.request) == found
        task.pop_request()


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("\0"), ValueError("\udce9"), Silent(), ValueError("x" * 20_000_000)])
def test_g10_whatever_a_handler_raises_its_outcome_and_all_others_of_the_process_are_settled(
    world: World, task: Task[Any, Any], error: Exception
) -> None:
    world.client(report_by="in-process", ordering="none", max_attempts=1)
    world.publish(*[None] * 5)
    first, bad, *rest = world.hand_over()
    end(task, headers(world, first))
    end(task, headers(world, bad), error)
    for delivery in rest:
        end(task, headers(world, delivery))
    wait_until(lambda: world.cursor() == 5, timeout=60, what="all are settled")
    [(offset, kind, text)] = world.rows("parked", '"offset", error_type, error')
    assert (offset, kind) == (bad.offset, type(error).__name__)
    assert 0 < len(text) <= ERROR_MESSAGE_BYTES


def run(app: Celery, handle: Callable[[Task[Any, Any]], None], request: dict[str, Any]) -> None:
    """Let a task do this with a message that has these headers, as Celery runs it in a process of its pool."""

    @app.task(name="fleet.rejects", bind=True, shared=False)
    def rejects(self: Task[Any, Any]) -> None:
        handle(self)

    known = {"id": "c:1", "retries": 0, "is_eager": False, "called_directly": False, "delivery_info": {}}
    build_tracer("fleet.rejects", rejects, app=app)("c:1", (), {}, {**known, **request})


def reject(task: Task[Any, Any], *, requeue: bool = False) -> None:
    raise Reject("no", requeue=requeue)


def throw(task: Task[Any, Any], *, error: BaseException) -> None:
    raise error


def retry(task: Task[Any, Any], *, after: float) -> None:
    raise task.retry(countdown=after)


@pytest.mark.parametrize(
    "handle", [reject, partial(retry, after=1e300), partial(retry, after=float("nan"))], ids=["reject", "huge", "nan"]
)
def test_g10_a_task_that_rejects_its_message_or_whose_retry_can_t_be_sent_has_failed(
    world: World, task: Task[Any, Any], handle: Callable[[Task[Any, Any]], None]
) -> None:
    world.client(report_by="in-process", max_attempts=1)
    world.publish(None)
    (delivery,) = world.hand_over()
    run(task.app, handle, headers(world, delivery))
    wait_until(lambda: world.rows("parked", "error_type") == ["Reject"], timeout=60, what="it is parked")
    assert world.cursor() == 1


class OutOfTime(BaseException):
    """What some libraries of time-outs raise."""


@pytest.mark.parametrize("error", [asyncio.CancelledError("late"), OutOfTime("late"), SystemExit("late")], ids=repr)
def test_g10_what_a_handler_raises_and_is_no_exception_has_failed_at_once(
    world: World, task: Task[Any, Any], error: BaseException
) -> None:
    world.client(report_by="in-process", max_attempts=1)
    world.publish(None)
    (delivery,) = world.hand_over()
    with pytest.raises(type(error)):
        run(task.app, partial(throw, error=error), headers(world, delivery))
    wait_until(lambda: world.cursor() == 1, timeout=60, what="it is parked")
    [(kind, text, traceback)] = world.rows("parked", "error_type, error, traceback")
    assert (kind, text) == (type(error).__name__, "late")
    assert "in throw" in traceback


@pytest.mark.parametrize("error", [WorkerShutdown(), WorkerTerminate(), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_a_task_that_is_interrupted_because_its_process_ends_has_not_failed(
    world: World, task: Task[Any, Any], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    if type(error) is SystemExit:
        monkeypatch.setattr("billiard.common.terminate_handler_fired", lambda: True)
    world.client(report_by="in-process", max_attempts=1)
    world.publish(None)
    (delivery,) = world.hand_over()
    with pytest.raises(type(error)):
        run(task.app, partial(throw, error=error), headers(world, delivery))
    end(task, headers(world, delivery))  # when it comes again, it succeeds
    wait_until(lambda: world.cursor() == 1, timeout=60, what="its success counts")
    assert world.rows("parked") == []


def test_a_message_that_goes_back_to_its_queue_is_no_outcome(world: World, task: Task[Any, Any]) -> None:
    world.client(report_by="in-process", max_attempts=1)
    world.publish(None)
    (delivery,) = world.hand_over()
    run(task.app, partial(reject, requeue=True), headers(world, delivery))
    end(task, headers(world, delivery))  # when it comes again, it succeeds
    wait_until(lambda: world.cursor() == 1, timeout=60, what="its success counts")
    assert world.rows("parked") == []


def test_g10_an_outcome_that_postgres_refuses_is_a_line_in_the_log_and_the_others_are_settled(
    world: World, task: Task[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    world.client(report_by="in-process", ordering="none")
    world.publish(*[None] * 3)
    world.eyes.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON fq.deliveries FOR EACH ROW"
        ' WHEN (OLD."offset" = 2) EXECUTE FUNCTION refuse()'
    )
    for delivery in world.hand_over():
        end(task, headers(world, delivery))
    wait_until(lambda: world.rows("deliveries") == [2], timeout=60, what="the others are settled")
    wait_until(lambda: "not this one" in caplog.text, timeout=60, what="it is said")
    assert "the outcome of task c:2 can't be settled, its lease will end" in caplog.text


def test_g10_a_client_that_a_stranger_holds_waits_in_the_outbox_and_the_others_of_the_process_are_settled(
    world: World, connect: Connect, task: Task[Any, Any]
) -> None:
    for client in ("held", "free"):
        world.client(client, report_by="in-process", ordering="none")
    world.publish(None, None)
    deliveries = [it for client in ("held", "free") for it in world.hand_over(client)]
    stranger = connect(autocommit=False)
    stranger.execute("SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    for delivery in deliveries:
        end(task, headers(world, delivery))
    wait_until(lambda: world.cursor("free") == 2, timeout=60, what="the free one's are settled")
    assert world.cursor("held") == 0
    stranger.rollback()
    wait_until(lambda: world.cursor("held") == 2, timeout=60, what="and the held one's")


def test_g1_a_process_that_ends_while_a_pass_has_the_client_reports_all_the_same(
    world: World, connect: Connect, task: Task[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLOSING_SECONDS", 60)
    world.client("held", report_by="in-process")
    world.publish(None)
    (delivery,) = world.hand_over("held")
    stranger = connect(autocommit=False)
    stranger.execute("SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    end(task, headers(world, delivery))
    waiting = """SELECT pid, xact_start FROM pg_stat_activity
                  WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(outbox.close_all)
        tries: set[Any] = set()

        def has_tried() -> bool:
            tries.update(world.eyes.execute(waiting).fetchall())
            return closing.done() or len(tries) >= 5

        wait_until(has_tried, timeout=60, what="it tries again and again")
        assert not closing.done()
        stranger.rollback()
        closing.result(60)
    assert world.cursor("held") == 1

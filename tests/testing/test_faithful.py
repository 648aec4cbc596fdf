"""Handlers that a test calls see and do what they would in production: headers, retries, workflows, ids."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from celery import chain, group
from celery.exceptions import Ignore, Reject

import bridge
from bridge.errors import BridgeError
from bridge.testing import Recording
from tests.testing.shop import Shop

HEADERS = {"tenant": "acme", "empty": "", "long": "x" * 600, "lines": "a\nb", "number": 7}


def test_a_handler_gets_the_headers_that_its_client_asks_for(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    seen: list[dict[str, Any]] = []

    @shop.app.task(shared=False, name="bill", bind=True)
    def bill(self: Any, event: bridge.Event) -> None:
        seen.append({name: it for name, it in self.request.headers.items() if not name.startswith("bridge_")})

    wanted = ["tenant", "x_number:number", "empty", "long", "lines", "none", "source=billing"]
    bridge.client("billing", headers=wanted)(bill)
    bridge.publish(connection, "order.created", {}, headers=HEADERS)
    bridge.publish(connection, "order.created", {})
    recording.deliver_eagerly()
    assert seen == [{"tenant": "acme", "x_number": "7", "empty": "", "source": "billing"}, {"source": "billing"}]


def test_a_batch_has_the_headers_in_which_its_events_agree(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    seen: list[Any] = []

    @shop.app.task(shared=False, name="bill", bind=True)
    def bill(self: Any, events: list[bridge.Event]) -> None:
        seen.append({name: self.request.headers.get(name) for name in ("tenant", "user")})

    bridge.client("billing", headers=["tenant", "user"], batch=5)(bill)
    for user in ("eve", "adam"):
        bridge.publish(connection, "order.created", {}, headers={"tenant": "acme", "user": user})
    recording.deliver_eagerly()
    assert seen == [{"tenant": "acme", "user": None}]


@pytest.mark.parametrize("by", ["autoretry_for", "self.retry"])
@pytest.mark.parametrize("fails", [2, 9])
def test_celerys_own_retries_are_one_attempt_and_fail_it_when_the_last_one_fails(
    by: str, fails: int, recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    seen: list[Any] = []

    def handle(self: Any, event: bridge.Event) -> None:
        seen.append((event["attempt"], self.request.retries, self.request.id, self.request.headers["bridge_offset"]))
        if len(seen) <= fails:
            error = KeyError(f"try {len(seen)}")
            raise error if by == "autoretry_for" else self.retry(exc=error, countdown=30)

    more: dict[str, Any] = {"autoretry_for": (KeyError,), "retry_kwargs": {"max_retries": 3}}
    task = shop.app.task(shared=False, name="bill", bind=True, max_retries=3, **(more if by == "autoretry_for" else {}))
    bridge.client("billing", max_attempts=1)(task(handle))
    offset = bridge.publish(connection, "order.created", {})
    (done,) = recording.deliver_eagerly(raise_errors=False)
    tries = min(fails, 3) + 1
    assert seen == [(1, n, f"billing:{offset}", offset) for n in range(tries)]
    assert (repr(done.error), done.parked) == (("None", False) if fails == 2 else ("KeyError('try 4')", True))


def test_what_celerys_last_retry_raised_comes_through(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    @shop.app.task(shared=False, name="bill", autoretry_for=(KeyError,), max_retries=1)
    def bill(event: bridge.Event) -> None:
        raise KeyError("always")

    bridge.client("billing")(bill)
    bridge.publish(connection, "order.created", {})
    with pytest.raises(KeyError, match="always"):
        recording.deliver_eagerly()


@pytest.mark.parametrize("raised", [Ignore(), Reject("no", requeue=False)])
def test_a_handler_of_which_celery_reports_nothing_is_an_error(
    raised: Exception, recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    @shop.app.task(shared=False, name="bill")
    def bill(event: bridge.Event) -> None:
        raise raised

    bridge.client("billing")(bill)
    bridge.publish(connection, "order.created", {})
    with pytest.raises(BridgeError, match=f"task 'bill' has raised {type(raised).__name__}: Celery reports nothing"):
        recording.deliver_eagerly()


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_replaces_itself_is_done_when_its_workflow_is(
    fails: bool, recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    steps: list[str] = []

    @shop.app.task(shared=False, name="step")
    def step(name: str) -> None:
        steps.append(name)
        if fails and name == "b":
            raise KeyError(name)

    @shop.app.task(shared=False, name="bill", bind=True)
    def bill(self: Any, event: bridge.Event) -> Any:
        return self.replace(chain(step.si("a"), step.si("b"), step.si("c")))

    bridge.client("billing", max_attempts=1)(bill)
    bridge.publish(connection, "order.created", {})
    (done,) = recording.deliver_eagerly(raise_errors=False)
    assert steps == (["a", "b"] if fails else ["a", "b", "c"]) and isinstance(done.error, KeyError) is fails


def test_a_group_of_a_handler_runs_too(recording: Recording, connection: psycopg.Connection[Any], shop: Shop) -> None:
    steps: list[str] = []

    @shop.app.task(shared=False, name="step")
    def step(name: str) -> None:
        steps.append(name)

    @shop.app.task(shared=False, name="bill", bind=True)
    def bill(self: Any, event: bridge.Event) -> Any:
        return self.replace(group(step.si(name) for name in "ab"))

    bridge.client("billing")(bill)
    bridge.publish(connection, "order.created", {})
    recording.deliver_eagerly()
    assert steps == ["a", "b"]


def test_an_id_is_stored_and_delivered_once(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client()
    first = bridge.publish(connection, "order.paid", {"n": 1}, id="payment-1")
    assert bridge.publish(connection, "order.paid", {"n": 2}, id="payment-1") == first
    assert [event.payload for event in recording.published()] == [{"n": 1}]
    assert len(recording.deliver_eagerly()) == 1
    bridge.publish(connection, "order.paid", {"n": 3}, id="payment-1")
    assert recording.deliver_eagerly() == []


def test_what_handlers_publish_for_later_is_delivered_only_where_the_test_wants_it(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client("reminder", topics=["reminder.*"])

    @bridge.client("billing", topics=["order.*"])
    @shop.app.task(shared=False, name="bill")
    def bill(event: bridge.Event) -> None:
        bridge.publish(connection, "reminder.due", {}, key=event["key"], deliver_after=60)

    bridge.publish(connection, "order.created", {}, key="order-1")
    assert [done.client for done in recording.deliver_eagerly()] == ["billing"]
    assert [done.client for done in recording.deliver_eagerly(scheduled=True)] == ["reminder"]


def test_two_clients_of_one_topic_fail_apart(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client("billing", fails=9, max_attempts=2)
    shop.client("audit")
    offsets = bridge.publish_many(connection, [("order", {}, "k"), ("order", {}, "k")])
    done = recording.deliver_eagerly(raise_errors=False)
    assert [one.offset for one in done if one.client == "audit"] == offsets
    failed = [(one.offset, one.attempts, one.parked) for one in done if one.client == "billing"]
    assert failed == [(offset, n, n == 2) for offset in offsets for n in (1, 2)]

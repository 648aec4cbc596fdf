"""`bridge.transaction` is fenced by epoch and attempt (G6), and one bad message harms nobody else (G10)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import bridge
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery, Position, Registration
from bridge.operate.seek import seek
from bridge.store import effect
from bridge.store.clients import register
from bridge.store.held import hold_client, remove_client
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World

WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""
EVERY_LEASE = "UPDATE fq.deliveries SET due_at = now() - interval '1 second'"


def event(delivery: Delivery) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(delivery.body)
    return found


def begin(world: World) -> Delivery:
    world.client()
    world.publish("k")
    [delivery] = world.hand_over()
    return delivery


def take_effect(it: Delivery, connection: psycopg.Connection[Any]) -> bool:
    """Handle a message; tell whether it took effect."""
    try:
        with bridge.transaction(event(it), connection):
            return True
    except bridge.AlreadyDone:
        return False


def sought(world: World) -> None:
    seek(world.store, "c", to=Position(), by="me")


def replaced(world: World) -> None:
    register(world.store, Registration(id="c", given={"task": "fleet.other"}), replace_task=True)
    sought(world)


def removed(world: World) -> None:
    with world.store.transaction() as connection:
        hold_client(connection, "c")
        remove_client(connection, "c")
    world.client()


def removed_twice(world: World) -> None:
    removed(world)
    world.hand_over()
    removed(world)


def made_a_reader(world: World) -> None:
    world.eyes.execute("UPDATE fq.clients SET task = NULL")
    world.eyes.execute('UPDATE fq.clients SET "offset" = -1')
    world.eyes.execute("UPDATE fq.clients SET task = 'fleet.handle'")


@pytest.mark.parametrize("begin_anew", [sought, replaced, removed, removed_twice, made_a_reader])
def test_g10_a_message_from_before_has_no_effect_whatever_began_anew(
    world: World, connect: Connect, begin_anew: Callable[[World], None]
) -> None:
    old = begin(world)
    begin_anew(world)
    assert not take_effect(old, connect()), "nothing is handed over in the new epoch yet"
    [new] = world.hand_over()
    assert new.epoch > old.epoch
    assert not take_effect(old, connect())
    assert world.rows("deliveries", "state") == ["sent"]
    assert take_effect(new, connect())
    assert not take_effect(old, connect())
    assert world.succeed(new).succeeded == 1
    assert world.cursor() == 1


@pytest.mark.parametrize("kind", ["session", "psycopg"])
@pytest.mark.parametrize(("handled", "effect"), [(1, True), (2, True), (3, False)])
def test_g10_of_an_epoch_any_attempt_that_is_remembered_may_take_effect(
    world: World, connect: Connect, kind: str, handled: int, effect: bool
) -> None:
    begin(world)
    world.make_due()
    [second] = world.hand_over()
    assert second.attempt == 2
    it = event(second) | {"attempt": handled}
    took = True
    try:
        if kind == "session":
            with Session(world.store.engine) as session, bridge.transaction(it, session):
                pass
        else:
            with bridge.transaction(it, connect()):
                pass
    except bridge.AlreadyDone:
        took = False
    assert took is effect
    assert world.rows("deliveries", "state") == ["done" if effect else "sent"]


def test_g10_a_handler_that_is_faster_than_its_pass_waits_for_it_and_takes_effect(
    world: World, connect: Connect
) -> None:
    world.client()
    world.publish("k")
    took: list[bool] = []

    def send(client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        handler.append(threading.Thread(target=lambda: took.append(take_effect(deliveries[0], connection))))
        handler[0].start()
        wait_until(lambda: world.ask(WAITS), timeout=60, what="the handler waits for the pass that has sent its event")
        return []

    handler: list[threading.Thread] = []
    connection = connect()
    world.one_pass(send=send)
    handler[0].join(60)
    assert took == [True]
    assert world.rows("deliveries", "state") == ["done"]


def test_g10_a_pass_that_fails_after_sending_leaves_no_effect_behind(world: World, connect: Connect) -> None:
    world.client()
    world.publish("k")
    lost: list[Delivery] = []

    def send(client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        lost.extend(deliveries)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.one_pass(send=send)
    assert not take_effect(lost[0], connect())
    [again] = world.hand_over()
    assert take_effect(again, connect())


@pytest.mark.parametrize("kind", ["session", "psycopg"])
def test_g10_what_is_done_already_is_finished_at_once_when_it_comes_again(
    world: World, connect: Connect, kind: str
) -> None:
    delivery = begin(world)
    assert take_effect(delivery, connect()), "and its callback is lost"
    assert world.hand_over() == []
    assert world.cursor() == 0
    mine = Session(world.store.engine) if kind == "session" else connect()
    with mine, pytest.raises(bridge.AlreadyDone), bridge.transaction(event(delivery), mine):
        pytest.fail("the body ran")
    assert world.hand_over() == []
    assert world.cursor() == 1
    assert world.row()["succeeded"] == 1


def test_g10_a_client_s_lock_costs_a_refused_handler_a_bounded_wait(
    world: World, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = begin(world)
    connection = connect()
    assert take_effect(delivery, connection)
    monkeypatch.setattr(effect, "FINISH_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(effect, "EFFECT_WAIT_SECONDS", 0.1)
    holder = connect(autocommit=False)
    holder.execute("SELECT FROM fq.clients FOR UPDATE")
    assert not take_effect(delivery, connection), "done, and finished when its lease ends"
    unknown = delivery._replace(body=json.dumps(event(delivery) | {"offset": 2}))
    with pytest.raises(psycopg.errors.LockNotAvailable):
        take_effect(unknown, connection)
    with (
        Session(world.store.engine) as session,
        pytest.raises(DBAPIError),
        bridge.transaction(event(unknown), session),
    ):
        pytest.fail("the body ran")
    holder.rollback()
    world.eyes.execute(EVERY_LEASE)
    world.make_due()
    assert world.hand_over() == []
    assert world.cursor() == 1


@pytest.mark.parametrize("missing", ["generation", "epoch", "attempt"])
@pytest.mark.parametrize("value", [None, "x"])
def test_g10_an_event_that_does_not_say_its_generation_epoch_and_attempt_is_a_clear_error(
    world: World, connect: Connect, missing: str, value: object
) -> None:
    it = event(begin(world)) | {missing: value}
    said = "event 1 of client 'c' does not say its generation, epoch and attempt"
    with pytest.raises(bridge.UsageError, match=said), bridge.transaction(it, connect()):
        pytest.fail("the body ran")
    del it[missing]
    with pytest.raises(bridge.UsageError, match="an older bridge"), bridge.transaction(it, connect()):
        pytest.fail("the body ran")
    assert world.rows("deliveries", "state") == ["sent"]

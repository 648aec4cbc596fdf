"""`bridge.transaction` on a connection of Django's: what the ORM writes and the end of the delivery are one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import bridge
from bridge.errors import UsageError
from bridge.store import Store
from bridge.testing import Recording
from tests.contrib.django.conftest import app
from tests.support.world import World


@pytest.fixture(scope="module")
def log(project: str) -> Iterator[World]:
    store = Store(project)
    with psycopg.connect(project, autocommit=True) as eyes:
        world = World(store, eyes)
        world.client()
        yield world
    store.close()


@pytest.fixture
def handled(log: World) -> dict[str, Any]:
    log.publish(None)
    (delivery,) = log.hand_over()
    event: dict[str, Any] = json.loads(delivery.body)
    return event


def state_of(log: World, event: dict[str, Any]) -> str:
    (found,) = log.eyes.execute('SELECT state FROM fq.deliveries WHERE "offset" = %s', [event["offset"]]).fetchall()
    return str(found[0])


def groups(log: World, event: dict[str, Any]) -> int:
    found = log.eyes.execute("SELECT FROM auth_group WHERE name = %s", [f"of {event['offset']}"])
    return len(found.fetchall())


def write(event: dict[str, Any]) -> None:
    from django.contrib.auth.models import Group

    Group.objects.create(name=f"of {event['offset']}")


def test_what_the_orm_writes_and_the_end_of_the_delivery_commit_together(log: World, handled: dict[str, Any]) -> None:
    from django.db import connection, connections

    with bridge.transaction(handled, connection) as given:
        write(handled)
        assert given is connection and groups(log, handled) == 0 and state_of(log, handled) == "sent"
    assert groups(log, handled) == 1 and state_of(log, handled) == "done"
    with pytest.raises(bridge.AlreadyDone), bridge.transaction(handled, connections["default"]):
        pytest.fail("the body ran")
    assert not connection.in_atomic_block


def test_a_handler_that_fails_leaves_no_trace(log: World, handled: dict[str, Any]) -> None:
    from django.db import connection

    with pytest.raises(ZeroDivisionError), bridge.transaction(handled, connection):
        write(handled)
        raise ZeroDivisionError
    assert groups(log, handled) == 0 and state_of(log, handled) == "sent"


def test_a_connection_that_is_in_atomic_is_refused(log: World, handled: dict[str, Any]) -> None:
    from django.db import connection, transaction

    with (
        transaction.atomic(),
        pytest.raises(UsageError, match="outside of atomic"),
        bridge.transaction(handled, connection),
    ):
        pytest.fail("the body ran")


def test_in_a_test_it_is_a_savepoint(log: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection, transaction

    seen: list[dict[str, Any]] = []

    def handle(event: dict[str, Any]) -> None:
        seen.append(event)
        with bridge.transaction(event, connection):
            write(event)
            if len(seen) == 1:
                raise ZeroDivisionError

    monkeypatch.setattr("bridge.declare._declared", {})
    bridge.client("effects", max_attempts=2)(app.task(shared=False, name="shop.effects")(handle))
    with transaction.atomic():
        recording = Recording(connection, app)
        bridge.publish(connection, "order.created", {})
        first, second = recording.deliver_eagerly(raise_errors=False)
        assert isinstance(first.error, ZeroDivisionError) and second.error is None
        from django.contrib.auth.models import Group

        assert Group.objects.filter(name=f"of {first.offset}").count() == 1
        transaction.set_rollback(True)
    assert groups(log, seen[0]) == 0


@pytest.mark.parametrize("how", ["by the ORM", "by a cursor", "and is caught"])
def test_a_handler_with_an_sql_error_leaves_the_tests_transaction_usable(
    how: str, log: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.models import Group
    from django.db import DatabaseError, connection, transaction

    def handle(event: dict[str, Any]) -> None:
        write(event)
        try:
            write(event) if how == "by the ORM" else connection.cursor().execute("SELECT 1 / 0")
        except DatabaseError:
            if how != "and is caught":
                raise

    monkeypatch.setattr("bridge.declare._declared", {})
    bridge.client("effects", max_attempts=2)(app.task(shared=False, name="shop.effects")(handle))
    with transaction.atomic():
        recording = Recording(connection, app)
        Group.objects.create(name=f"before {how}")
        bridge.publish(connection, "order.created", {})
        done = recording.deliver_eagerly(raise_errors=False)
        assert [isinstance(one.error, DatabaseError) for one in done] == ([False] if "caught" in how else [True, True])
        assert Group.objects.filter(name=f"before {how}").exists() and len(recording.published()) == 1
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _clean(project: str) -> Iterator[None]:
    yield
    app.tasks.pop("shop.effects", None)

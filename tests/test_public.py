"""The public names: they are all there, importing them is light, and their types refuse what is wrong."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from celery import Celery

import bridge
from bridge.declare import registrations
from bridge.event import Json
from bridge.settings.client import SETTINGS, ClientSettings
from tests.support.world import World

ROOT = Path(__file__).parent.parent
HEAVY = ("celery.worker", "celery.bin", "celery.apps", "alembic", "rich")  # a publisher's process needs none of them
DRIVERS = ("psycopg2", "asyncpg", "sqlalchemy.ext.asyncio", "django.db", "pydantic", "attr", "cloudevents")

SNIPPET = """
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import uuid4

import psycopg
import sqlalchemy
from sqlalchemy.orm import Session, scoped_session

import bridge


class Task:
    name: str = "shop.bill"

    def __call__(self, event: bridge.Event) -> None: ...


class Proxy:
    def __getattr__(self, name: str) -> Any: ...


@dataclass
class Line:
    price: Decimal


class Order(TypedDict):
    id: int


def bill(event: bridge.Event) -> datetime:
    offset: int = event["offset"]
    key: str | None = event["key"]
    event["payload"]["lines"][offset]["price"]
    with bridge.transaction(event) as session:
        session.execute(sqlalchemy.text("SELECT 1"))
    event["ofset"]  # refused: typeddict-item
    not_a_key: int = event["key"]  # refused: assignment
    return datetime.fromisoformat(event["created_at"])


kept: Task = bridge.client("billing", topics=["order.*"], window=10, ordering="strict", start="now")(Task())
other: str = bridge.client("billing")(Task())  # refused: assignment
bridge.client("billing", routes=[("order.cancelled", "shop.refund")], backoff_seconds=0.5, batch_as="calls")
bridge.client("billing", windw=10)  # refused: call-arg
bridge.client("billing", window="10")  # refused: arg-type
bridge.client("billing", ordering="keys")  # refused: arg-type
bridge.client("billing", task="shop.bill")  # refused: call-arg
bridge.client(Task())  # refused: arg-type
bridge.client("billing")(bill)  # refused: type-var


def publish(
    psycopgs: psycopg.Connection[tuple[Any, ...]],
    dicts: psycopg.Connection[dict[str, Any]],
    connection: sqlalchemy.Connection,
    session: Session,
    scoped: scoped_session[Session],
    order: Order,
    engine: sqlalchemy.Engine,
    django: Proxy,
) -> Iterator[int]:
    yield bridge.publish(psycopgs, "order.created", order, key="7", headers={"traceparent": "00-1"})
    yield bridge.publish(dicts, "order.created", {"lines": [1, 2.5, None, {"price": "1.50"}]})
    yield bridge.publish(connection, "order.created", ["a", 1])
    yield bridge.publish(session, "order.created", None)
    yield from bridge.publish_many(scoped, [("a", 1), ("a", 1, "k"), ("a", {}, None, {"h": 1})])
    yield from bridge.publish_many(session, [bridge.NewEvent("a", order, "k"), ("a", 1)])
    yield from bridge.publish_many(session, (("a", number, "k") for number in range(3)))
    bridge.publish("postgresql://localhost", "order.created", 1)  # refused: call-overload
    yield bridge.publish(session, "order.created", datetime.now(), key=7)
    yield bridge.publish(session, "order.created", Line(Decimal("1.50")), key=uuid4())
    yield bridge.publish(django, "order.created", {})
    bridge.publish(engine, "order.created", {})  # refused: call-overload
    bridge.publish(session, "order.created", {1, 2})  # refused: call-overload
    bridge.publish(session, "order.created", b"{}")  # refused: call-overload
    bridge.publish(session, "order.created", 1, "7")  # refused: call-overload
    bridge.publish(session, "order.created", 1, key=7.5)  # refused: call-overload
    bridge.publish_many(session, ["order.created"])  # refused: list-item
    bridge.publish_many(session, [("a", 1, 7.5)])  # refused: list-item
    bridge.NewEvent("a", {1, 2})  # refused: arg-type
"""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr("bridge.declare._declared", {})
    return Celery(set_as_current=False)


def documented(of: Callable[..., object] | type[object], section: str) -> dict[str, str]:
    """What a docstring says of each argument or attribute."""
    [text] = re.findall(rf"^{section}:\n((?:(?:    .*)?\n)+)", f"{inspect.getdoc(of)}\n", re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said) for name, said in entries}


def test_every_public_name_is_there_and_listed_once_in_order() -> None:
    assert bridge.__all__ == sorted(set(bridge.__all__), key=lambda name: (not name[0].isupper(), name))
    assert {"Event", "NewEvent", "client", "install", "publish", "publish_many", "transaction"} < set(bridge.__all__)
    errors = {name for name, value in vars(bridge).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert errors < set(bridge.__all__)
    assert all(getattr(bridge, name).__doc__ for name in bridge.__all__)


def test_importing_the_bridge_loads_nothing_that_only_a_worker_or_a_command_needs() -> None:
    code = f"import sys, bridge; print([name for name in sys.modules if name.startswith({HEAVY + DRIVERS!r})])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_type_checkers_accept_what_is_right_and_refuse_what_is_wrong(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"snippet\.py:(\d+): error: .*\[([\w-]+)\]$", told.stdout, re.MULTILINE)
    wanted = [
        (str(number), refused[1])
        for number, line in enumerate(SNIPPET.splitlines(), start=1)
        if (refused := re.search(r"# refused: ([\w-]+)$", line))
    ]
    assert sorted(set(found)) == sorted(wanted), told.stdout + told.stderr


def test_the_arguments_of_client_are_the_settings_of_a_client_with_their_types() -> None:
    arguments = inspect.signature(bridge.client).parameters
    assert set(arguments) == {"id", "start", "expires"} | set(SETTINGS) - {"task"}
    hints, fields = get_type_hints(bridge.client), get_type_hints(ClientSettings)
    wider: dict[str, Any] = {"topics": Sequence[str], "routes": Sequence[tuple[str, str]]}
    wider["headers"] = Sequence[str] | Mapping[str, str]
    for name in set(SETTINGS) - {"task"}:
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert arguments[name].default is None, f"{name}: not given must mean that the registered value is kept"
        assert hints[name] == wider.get(name, fields[name]) | None, name


def test_the_docstring_of_client_names_each_setting_with_its_default_and_its_choices() -> None:
    documents = documented(bridge.client, "Args")
    assert list(documents) == list(inspect.signature(bridge.client).parameters)
    for name in documents.keys() - {"id", "start", "topics", "routes", "headers", "rate", "expires"}:
        assert re.search(rf"\[`?{re.escape(str(SETTINGS[name].default))}`?\]$", documents[name]), documents[name]
        assert all(f"`{choice}`" in documents[name] for choice in SETTINGS[name].choices), documents[name]
    assert documents["topics"].endswith(f"[`{SETTINGS['topics'].default[0]}`, every topic]")
    assert documents["routes"].endswith("[none]")
    assert documents["headers"].endswith("[none]")
    assert documents["rate"].endswith("[no limit]")


def test_a_declared_client_gives_what_was_given_and_no_more(app: Celery) -> None:
    @bridge.client("billing", topics=["order.*"], routes=[("order.cancelled", "shop.refund")], window=5, start="7")
    @app.task(name="shop.bill", shared=False)
    def bill(event: bridge.Event) -> str:
        return event["topic"]

    assert bill.name == "shop.bill"
    [registration] = registrations()
    assert registration.given == {
        "topics": ("order.*",),
        "routes": (("order.cancelled", "shop.refund"),),
        "window": 5,
        "task": "shop.bill",
    }
    assert (registration.id, registration.start.offset) == ("billing", 7)


def test_without_parentheses_it_is_said_how_to_write_it(app: Celery) -> None:
    decorate: Any = bridge.client
    with pytest.raises(bridge.UsageError, match=r"write @bridge\.client\('bill'\)"):

        @decorate
        def bill(event: bridge.Event) -> None: ...

    with pytest.raises(bridge.UsageError, match=r"write @bridge\.client\('bill'\)"):

        @decorate
        @app.task(shared=False)  # else every app of this process would have it
        def bill(event: bridge.Event) -> None: ...

    with pytest.raises(bridge.UsageError, match=r"write @bridge\.client\('billing'\)"):
        decorate(7)
    assert list(registrations()) == []


def test_below_the_decorator_of_the_task_it_is_refused() -> None:
    def bill(event: bridge.Event) -> None: ...

    decorate: Any = bridge.client("billing")
    with pytest.raises(bridge.ClientConflict, match=r"put @bridge\.client above"):
        decorate(bill)


def test_two_tasks_cannot_be_one_client_but_one_task_may_be_declared_again(app: Celery) -> None:
    def handle(event: bridge.Event) -> None: ...

    bill, refund = (app.task(name=name, shared=False)(handle) for name in ("shop.bill", "shop.refund"))
    bridge.client("billing")(bill)
    bridge.client("billing", window=5)(bill)
    assert [registration.given for registration in registrations()] == [{"window": 5, "task": "shop.bill"}]
    with pytest.raises(bridge.ClientConflict, match=r"declared twice, for shop\.bill and for shop\.refund"):
        bridge.client("billing")(refund)


def test_a_setting_that_is_wrong_is_refused_where_it_is_written() -> None:
    wrong: Any = bridge.client
    with pytest.raises(bridge.InvalidClient, match="client 'billing': window is 0, must be a whole number from 1"):
        wrong("billing", window=0)
    with pytest.raises(bridge.InvalidClient, match="a batch has no keyword arguments"):
        wrong("billing", batch=2, call="kwargs")
    with pytest.raises(bridge.UsageError, match="position 'yesterday'"):
        wrong("billing", start="yesterday")
    with pytest.raises(TypeError, match="windw"):
        wrong("billing", windw=5)


def test_an_event_is_what_a_handler_gets(world: World) -> None:
    world.client()
    payload: Json = {"lines": [1, None]}
    offset = bridge.publish(world.eyes, "order.created", payload, key="7", headers={"traceparent": "00-1"})
    bridge.publish(world.eyes, "order.created", 1)
    full, bare = (json.loads(delivery.body) for delivery in world.hand_over())
    hints = get_type_hints(bridge.Event)
    for event in (full, bare):
        assert list(event) == list(hints)
        for name, hint in hints.items():
            kinds = tuple(getattr(kind, "__origin__", kind) for kind in get_args(hint) or (hint,))
            assert hint is Any or name == "headers" or isinstance(event[name], kinds), name
        assert isinstance(event["headers"], dict)
    created_at = full.pop("created_at")
    assert abs(datetime.fromisoformat(created_at) - datetime.now(UTC)) < timedelta(minutes=1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", created_at)
    assert full == {
        "offset": offset,
        "generation": 1,
        "topic": "order.created",
        "key": "7",
        "payload": payload,
        "headers": {"traceparent": "00-1"},
        "client": "c",
        "attempt": 1,
        "epoch": 1,
    }
    assert (bare["key"], bare["headers"], bare["attempt"], bare["epoch"]) == (None, {}, 1, 1)


@pytest.mark.parametrize("kind", [bridge.Event, bridge.NewEvent])
def test_every_field_of_an_event_is_documented(kind: type[object]) -> None:
    assert list(documented(kind, "Attributes")) == list(get_type_hints(kind))

"""Publishing, one event or many at once: events are read back as published, or refused with a message that says why."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import psycopg
import pydantic
import pytest
from kombu.utils.json import register_type as register_with_kombu

import bridge
from bridge.bounds import NESTED_LEVELS
from bridge.errors import InvalidEvent
from bridge.log.encoding import arrays_of, checked_together, encoded
from tests.conftest import Connect

Publish = Callable[[psycopg.Connection[Any], bridge.NewEvent], int]


class Size(Enum):
    SMALL = ("s", 1)


class Colour(StrEnum):
    RED = "red"


@dataclass
class Line:
    price: Decimal
    extra: Any = None


@attrs.define
class Parcel:
    weight: Decimal
    lines: list[Line]


class Order(pydantic.BaseModel):
    at: datetime
    price: Decimal


class Money:
    def __init__(self, amount: str) -> None:
        self.amount = amount


class Level(IntEnum):
    LOW = 1


class Speaking:
    def __json__(self) -> dict[str, int]:
        return {"n": 1}


class KnownToKombu:
    pass


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def one(connection: psycopg.Connection[Any], event: bridge.NewEvent) -> int:
    topic, payload, key, headers, _ = event
    return bridge.publish(connection, topic, payload, key=key, headers=headers)


def among_others(connection: psycopg.Connection[Any], event: bridge.NewEvent) -> int:
    return bridge.publish_many(connection, [("other.topic", {"n": 0}), event, ("other.topic", {"n": 2}, "k")])[1]


each_way = pytest.mark.parametrize("publish", [one, among_others])

STORED = [
    (None, None),
    ({}, {}),
    ("text", "text"),
    (1.5, 1.5),
    (2**70, 2**70),
    (True, True),
    ([1, [2, {"a": None}]], [1, [2, {"a": None}]]),
    ((1, 2), [1, 2]),
    ({1: "one"}, {"1": "one"}),
    (
        {"quotes": "\"'\\", "lines": "\n\t\r", "é✓😀": "\\u0000"},
        {"quotes": "\"'\\", "lines": "\n\t\r", "é✓😀": "\\u0000"},
    ),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    ({"colour": Colour.RED}, {"colour": "red"}),
    (nested(NESTED_LEVELS), nested(NESTED_LEVELS)),
    (Decimal("1.50"), "1.50"),
    (
        {"at": datetime(2026, 1, 31, 12, tzinfo=UTC), "on": date(2026, 1, 31), "by": time(9, 30)},
        {"at": "2026-01-31T12:00:00+00:00", "on": "2026-01-31", "by": "09:30:00"},
    ),
    ([UUID(int=5)], ["00000000-0000-0000-0000-000000000005"]),
    ({"size": Size.SMALL}, {"size": ["s", 1]}),
    (Line(Decimal("2.0"), Colour.RED), {"price": "2.0", "extra": "red"}),
    (Parcel(Decimal(3), [Line(Decimal(1))]), {"weight": "3", "lines": [{"price": "1", "extra": None}]}),
    (
        [Order(at=datetime(2026, 1, 31, tzinfo=UTC), price=Decimal("1.5"))],
        [{"at": "2026-01-31T00:00:00Z", "price": "1.5"}],
    ),
    ({"nested": UserDict(a=MappingProxyType({"b": Decimal(1)}))}, {"nested": {"a": {"b": "1"}}}),
    (Speaking(), {"n": 1}),
    (["[{" * NESTED_LEVELS], ["[{" * NESTED_LEVELS]),
    ({1: 1, "a": {2.5: 2, None: 3, "b": {"c": (4,)}}}, {"1": 1, "a": {"2.5": 2, "null": 3, "b": {"c": [4]}}}),
]

REFUSED = [
    (("a", float("nan")), "payload is not JSON that Postgres can store: nan is no JSON"),
    (("a", {"when": object()}), "payload.when is not JSON that Postgres can store: builtins.object is no JSON"),
    (("a", {"items": [1, 2, 3, {"unit price": {5, 6}}]}), "payload.items[3]['unit price'] is not JSON that Postgres"),
    (("a", {"file": b"x"}), "payload.file is not JSON that Postgres can store: bytes are no JSON: decode them"),
    (("a", {"lines": {(1, 2): 3}}), "payload.lines is not JSON that Postgres can store: its key (1, 2) is no text"),
    (("a", {"deep": ["\0"]}), "payload.deep[0] is not JSON that Postgres can store: it holds a NUL character"),
    (("a", {"\0": 1}), "payload is not JSON that Postgres can store: it holds a NUL character"),
    (("a", {"half": "\ud800"}), "payload.half is not JSON that Postgres can store: it holds half a surrogate pair"),
    (("a", {1: "a", "1": "b"}), "payload is not JSON that Postgres can store: its keys 1 and '1' are the same text"),
    (("a", [{"n": {"1.5": 1, 1.5: 2}}]), "payload[0].n is not JSON that Postgres can store: its keys '1.5' and 1.5"),
    (("a", {"b": UserDict({True: 1, "true": 2})}), "payload.b is not JSON that Postgres can store: its keys True and"),
    (("a", {None: 1, "null": 2}), "payload is not JSON that Postgres can store: its keys None and 'null' are the same"),
    (("a", {Level.LOW: 1, "1": 2}), "payload is not JSON that Postgres can store: its keys <Level.LOW: 1> and '1'"),
    (("a", 1, None, {7: 1, "7": 2}), "headers is not JSON that Postgres can store: its keys 7 and '7' are the same"),
    (("a", {"x" * 5000: [object()]}), "payload['xxxx"),
    (("a", {"line": Line(Decimal(1), object())}), "payload.line.extra is not JSON that Postgres can store"),
    (("a", nested(NESTED_LEVELS + 1)), "payload is nested too deeply"),
    (("a", nested(100_000)), "payload is nested too deeply"),
    (("a", circular()), "payload is nested too deeply, or contains itself"),
    (("a", 1, None, {"x": nested(NESTED_LEVELS)}), "headers is nested too deeply"),
    (("a", 1, None, {"x": object()}), "headers.x is not JSON"),
    (("a", 1, None, []), "headers must be a mapping, not list"),
    (("a", 1, None, "{}"), "headers must be a mapping, not str"),
    (("a", 1, 5.5), "key 5.5 must be text"),
    (("a", 1, True), "key True must be text"),
    (("a", 1, 10**600), "has 601 characters: at most 512 are allowed"),
    (("a", 1, 10**5000), "key is a number with more than 512 digits"),
    (("a", {"n": [10**5000]}), "payload.n[0] is not JSON that Postgres can store: it is a number of more than 4,300"),
    (("a", 1, None, None, ""), "id is empty"),
    (("a", 1, None, None, "i" * 513), "id 'iiiiiiiiiiiiiiiiiiii'… has 513 characters: at most 512 are allowed"),
    (("a", 1, "\0"), "must be text without NUL"),
    (("a", 1, "\ud800"), "must be text without NUL or half characters"),
    (("", 1), "topic '' is malformed"),
    (("a..b", 1), "topic 'a..b' is malformed"),
    (("order.*", 1), "topic 'order.*' is malformed"),
    ((["a"], 1), "topic ['a'] is malformed"),
    ((None, 1), "topic None is malformed"),
]


@each_way
def test_json_is_read_back_as_it_was_published(connect: Connect, publish: Publish) -> None:
    connection = connect()
    query = 'SELECT topic, payload, key, headers FROM fq.events WHERE "offset" = %s'
    for payload, stored in STORED:
        offset = publish(connection, bridge.NewEvent("a.b", payload, "a key é '\"\\", {"h": [1]}))
        assert connection.execute(query, [offset]).fetchone() == ("a.b", stored, "a key é '\"\\", {"h": [1]})


@each_way
def test_headers_that_are_not_given_are_stored_as_an_empty_object(connect: Connect, publish: Publish) -> None:
    connection = connect()
    absent: list[Any] = [None, {}, UserDict(), MappingProxyType({})]
    for headers in absent:
        publish(connection, bridge.NewEvent("a", 1, None, headers))
    assert connection.execute("SELECT DISTINCT headers, key FROM fq.events WHERE topic = 'a'").fetchall() == [
        ({}, None)
    ]


@each_way
def test_headers_may_be_any_mapping(connect: Connect, publish: Publish) -> None:
    connection = connect()
    publish(connection, bridge.NewEvent("a", 1, None, MappingProxyType({"traceparent": "00-1"})))
    assert connection.execute("SELECT headers FROM fq.events WHERE topic = 'a'").fetchall() == [
        ({"traceparent": "00-1"},)
    ]


@pytest.mark.parametrize(("event", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_an_event_that_cannot_be_stored_is_refused_with_the_reason(event: tuple[Any, ...], told: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        encoded(bridge.NewEvent(*event))
    assert told in str(caught.value)
    with pytest.raises(InvalidEvent) as caught:
        arrays_of(checked_together([("other.topic", {"n": 0}), event, ("other.topic", {"n": 2}, "k")]))
    assert str(caught.value).startswith("event 1: ")
    assert told in str(caught.value)


@each_way
def test_after_a_refusal_nothing_is_stored_and_the_transaction_goes_on(connect: Connect, publish: Publish) -> None:
    connection = connect(autocommit=False)
    with pytest.raises(InvalidEvent):
        publish(connection, bridge.NewEvent("a", "\0"))
    assert connection.execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


def test_many_events_are_appended_in_order_and_their_offsets_returned_in_order(connect: Connect) -> None:
    connection = connect()
    offsets = bridge.publish_many(connection, ((f"t{n % 3}", n) for n in range(2500)))
    assert offsets == sorted(offsets)
    stored = connection.execute('SELECT "offset", payload FROM fq.events ORDER BY "offset"').fetchall()
    assert stored == list(zip(offsets, range(2500), strict=True))


def test_publishing_no_events_returns_no_offsets(connect: Connect) -> None:
    assert bridge.publish_many(connect(), []) == []


@each_way
def test_a_key_may_be_a_number_or_a_uuid(connect: Connect, publish: Publish) -> None:
    connection = connect()
    keys: list[tuple[Any, str]] = [
        (17, "17"),
        (UUID(int=5), str(UUID(int=5))),
        (Colour.RED, "red"),
        (-(2**70), str(-(2**70))),
    ]
    for key, stored in keys:
        offset = publish(connection, bridge.NewEvent("a", 1, key))
        assert connection.execute('SELECT key FROM fq.events WHERE "offset" = %s', [offset]).fetchone() == (stored,)


@each_way
def test_a_type_of_ones_own_becomes_what_was_registered_for_it(
    connect: Connect, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    event = bridge.NewEvent("a", {"total": Money("1.50"), "on": date(2026, 1, 31), "it": KnownToKombu()})
    with pytest.raises(InvalidEvent, match=r"payload.total is not JSON .*Money is no JSON: `bridge.register_type` can"):
        publish(connection, event)
    monkeypatch.setattr("bridge.log.values._registered", {})
    monkeypatch.setattr("kombu.utils.json._encoders", {})
    bridge.register_type(Money, lambda money: {"amount": Decimal(money.amount)})
    bridge.register_type(date, lambda day: day.year)
    register_with_kombu(KnownToKombu, "known", lambda _: [Money("2")])
    offset = publish(connection, event)
    query = 'SELECT payload FROM fq.events WHERE "offset" = %s'
    stored = {"total": {"amount": "1.50"}, "on": 2026, "it": [{"amount": "2"}]}
    assert connection.execute(query, [offset]).fetchone() == (stored,)


def test_a_value_that_becomes_too_many_levels_is_refused() -> None:
    value: Any = 1
    for _ in range(NESTED_LEVELS + 1):
        value = Line(Decimal(1), value)
    with pytest.raises(InvalidEvent, match="payload is nested too deeply"):
        encoded(bridge.NewEvent("a", value))

"""Large events are in bytes and sent in pieces, and their messages are those of their texts (G10)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from bridge.bounds import PIECE_BYTES
from bridge.model import Client, Delivery
from bridge.sender import pieces
from bridge.sender.pieces import Base64, Pieces, event_in
from bridge.sender.portions import size_of
from bridge.sender.shown import argument_of
from tests.sender.test_messages import WRITERS, app, client, delivery, flat, sending, sent

__all__ = ["app"]  # a fixture

PARTS = st.lists(st.text(max_size=20) | st.binary(max_size=20).map(bytearray), max_size=6)


@settings(deadline=None)
@given(parts=PARTS, inside=PARTS, piece=st.integers(1, 30))
def test_g10_pieces_are_what_they_are_made_of_however_they_are_cut(
    parts: list[str | bytearray], inside: list[str | bytearray], piece: int
) -> None:
    plain, within = (b"".join(it.encode() if isinstance(it, str) else it for it in some) for some in (parts, inside))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", piece)
        found = Pieces([*parts, Base64(inside), "end"])
        whole = found.whole()
        assert max(map(len, found)) <= max(4 * (piece + 2) // 3 + 1, len("end"))
    encoded = whole[len(plain) : -len("end")]
    assert len(found) == len(whole)
    assert whole.startswith(plain)
    assert base64.b64decode(encoded, validate=True).rstrip(b" ") == within.rstrip(b" ")
    assert b"=" not in encoded


def test_g10_a_short_event_becomes_a_text_and_a_batch_a_list_in_order() -> None:
    assert event_in([bytearray(b'{"a": 1}')], batched=False) == '{"a": 1}'
    assert event_in(["1"], batched=True) == "[1]"
    assert event_in(["1", bytearray("2é".encode()), "3"], batched=True) == "[1, 2é, 3]"
    long = event_in(["1", bytearray(PIECE_BYTES), "3"], batched=True)
    assert isinstance(long, Pieces)
    assert len(long) == PIECE_BYTES + len("[1, , 3]")


def event(call: str, text: str) -> str:
    """Return an event as Postgres writes it."""
    payload = json.dumps({"text": text, "ü%s": ["\u2028", '"', "@@bridge-offset@@", "😀"]}, ensure_ascii=False)
    return f'{{"topic": "t", "payload": {payload}, "headers": {{"a": 1}}}}' if call == "event" else payload


def as_text_and_in_bytes(to: Client, size: int) -> list[list[Delivery]]:
    texts = ["x" * size, "short", "y" * size]
    as_text = [delivery(to, offset=nth, body=event(to.call, text)) for nth, text in enumerate(texts)]
    in_bytes = [one._replace(body=bytearray(one.body.encode())) for one in as_text if isinstance(one.body, str)]
    return [as_text, [in_bytes[0], as_text[1], in_bytes[2]]]


def everything(message: dict[str, Any]) -> dict[str, Any]:
    return flat(message) | {name: message["headers"][name] for name in ("argsrepr", "kwargsrepr")}


@WRITERS
@pytest.mark.parametrize(
    "settings",
    [{"call": "event"}, {"call": "payload"}, {"call": "kwargs"}, {"batch": 3}, {"batch": 2, "batch_as": "calls"}],
    ids=str,
)
@pytest.mark.parametrize("size", [10_000, PIECE_BYTES])
def test_g10_a_large_event_s_message_is_that_of_its_text_and_keeps_its_place(
    app: Celery, redis_url: str, *, writer: str, settings: dict[str, Any], size: int
) -> None:
    to = client(**settings)
    found = []
    for deliveries in as_text_and_in_bytes(to, size):
        with sending(app, writer) as sender:
            assert sender.send(to, deliveries) == []
        found.append([everything(message) for message in sent(redis_url)])
        with Redis.from_url(redis_url) as redis:
            redis.flushdb()
    as_text, in_bytes = found
    assert in_bytes == as_text
    assert len(as_text) == -(-3 // to.batch)


def test_g10_a_large_event_s_message_on_rabbitmq_is_that_of_its_text(amqp_url: str) -> None:
    to, found = client(queue="fleet"), []
    with Celery("fleet", broker=amqp_url, set_as_current=False) as app:
        with app.connection_for_write() as connection, connection.SimpleQueue("fleet") as fleet:
            for deliveries in as_text_and_in_bytes(to, PIECE_BYTES):
                with sending(app, "kombu") as sender:
                    assert sender.send(to, deliveries) == []
                messages = [fleet.get(timeout=10) for _ in deliveries]
                found.append([(it.payload, it.content_type, it.content_encoding) for it in messages])
                for it in messages:
                    it.ack()
        app.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("call", ["event", "payload"])
@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("around", [0, 1, 2, 3])
def test_g10_of_a_large_event_as_many_characters_are_shown_as_of_its_text(
    call: str, character: str, around: int
) -> None:
    to = client(call=call)
    for text in ("y" * around + character * 10_000, character * (180 + around), character):
        headers = ', "headers": ' + json.dumps({"a": character * 3000}, ensure_ascii=False)
        body = f'{{"payload": "{text}"{headers}}}' if call == "event" else json.dumps(text, ensure_ascii=False)
        shown, of_bytes = (
            argument_of(to, [delivery(to, body=one)], batched=False) for one in (body, bytearray(body.encode()))
        )
        assert of_bytes == shown


def test_g10_the_size_of_a_message_is_that_of_its_bytes() -> None:
    to = client()
    assert size_of([delivery(to, body=body) for body in ("é", "ab", bytearray("é".encode()))]) == 6

"""Each writer's messages against those that `app.send_task` sends: decoded, they are the same, field by field."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, signals
from celery.canvas import xmap
from redis import Redis

from bridge.broker import conformance
from bridge.contract import celery_link, sign
from bridge.model import Client, Delivery
from bridge.sender import cutter
from bridge.sender.kombu import KombuWriter
from bridge.sender.message import publish
from bridge.sender.sender import Sender
from bridge.settings.client import SETTINGS

# Not compared, because they differ between any two messages, or because the bridge shows events in its own words:
UNLIKE = {"delivery_tag", "argsrepr", "kwargsrepr", "origin", "reply_to"}
# Celery's own default since 5.7. Before, it was False, which a worker from 5.6 on takes for an order to keep the result
# whatever its fleet has set.
FLEETS_OWN = {"ignore_result": None}
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": 'a="b"'}


@pytest.fixture(autouse=True)
def _nothing_is_off(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that each writer writes itself: where its internals are not as they were seen, another one would for it."""
    conformance.forget()
    yield
    assert [text for text in caplog.messages if "is off" in text] == []


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        yield app
        app.close()


def client(**settings: Any) -> Client:
    values = {
        "id": "c",
        "task": "fleet.handle",
        "offset": 0,
        "dispatched": 0,
        "epoch": 1,
        "generation": 1,
        "filter": "",
        "state": "active",
    }
    return Client(**{**values, **settings})


def delivery(to: Client, **values: Any) -> Delivery:
    payload = {"n": 1, "ü%s": ["\u2028", '"', "\\", 0.5, None, "@@bridge-offset@@"]}
    body = json.dumps(payload, ensure_ascii=False)
    defaults = {"client": to, "offset": 42, "epoch": 1, "attempt": 1, "topic": 'order."%s".ü', "body": body}
    return Delivery(**{**defaults, **values})


def sent(redis_url: str, key: str = "celery") -> list[dict[str, Any]]:
    with Redis.from_url(redis_url) as redis:
        return [json.loads(message) for message in reversed(redis.lrange(key, 0, -1))]


def flat(message: dict[str, Any]) -> dict[str, Any]:
    body = json.loads(base64.b64decode(message["body"]))
    fields = {"body": body, **message["headers"], **message["properties"]}
    fields |= {name: message[name] for name in ("content-type", "content-encoding")}
    return {name: value for name, value in fields.items() if name not in UNLIKE}


WRITERS = pytest.mark.parametrize("writer", ["redis", "kombu", "celery"])


@contextmanager
def sending(app: Celery, writer: str, *, shows: bool = True) -> Iterator[Sender]:
    """Make a sender that uses one of its three writers; that of Celery serves where a signal has a receiver."""

    def hear(**_: Any) -> None:
        pass

    if writer == "celery":
        signals.before_task_publish.connect(hear)
    sender = Sender(
        app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=writer == "redis", shows=shows
    )
    try:
        yield sender
    finally:
        signals.before_task_publish.disconnect(hear)
        sender.close()


@WRITERS
@pytest.mark.parametrize("call", ["payload", "kwargs"])
@pytest.mark.parametrize("trace", [{}, TRACE], ids=["untraced", "traced"])
@pytest.mark.parametrize(("epoch", "attempt", "generation"), [(1, 1, 1), (3, 2, 4)])
def test_a_message_is_what_send_task_would_send(
    app: Celery,
    redis_url: str,
    *,
    writer: str,
    call: str,
    trace: dict[str, str],
    epoch: int,
    attempt: int,
    generation: int,
) -> None:
    to = client(call=call, generation=generation)
    out = delivery(to, epoch=epoch, attempt=attempt, trace=trace)
    with sending(app, writer) as sender:
        assert sender.send(to, [out]) == []
    signed = ("c", 42, epoch, attempt, sign("s", ("c", 42, epoch, attempt), generation=generation))
    payload = json.loads(out.body)
    app.send_task(
        "fleet.handle",
        args=[payload] if call == "payload" else [],
        kwargs={} if call == "payload" else payload,
        task_id=out.task_id,
        queue="celery",
        link=celery_link("bridge.commit", "bridge", signed),
        link_error=celery_link("bridge.fail", "bridge", signed),
        headers={
            "bridge_client": "c",
            "bridge_offset": 42,
            "bridge_attempt": attempt,
            "bridge_epoch": epoch,
            "bridge_generation": generation,
            **trace,
        },
        **FLEETS_OWN,
    )
    ours, celerys = sent(redis_url)
    assert flat(ours) == flat(celerys)
    label = f'<order."%s".ü #42{f", attempt {attempt}" if attempt > 1 else ""}>'
    shown = [ours["headers"][name] for name in ("argsrepr", "kwargsrepr")]
    assert shown == ([f"({label} {out.body},)", "{}"] if call == "payload" else [label, out.body])


@WRITERS
@pytest.mark.parametrize("call", ["event", "payload", "kwargs"])
def test_a_payload_that_is_not_to_be_shown_is_in_no_header_and_the_key_is(
    app: Celery, redis_url: str, *, writer: str, call: str
) -> None:
    to = client(call=call)
    with sending(app, writer, shows=False) as sender:
        assert sender.send(to, [delivery(to, key='o"%s\n\u009b17')]) == []
    [ours] = sent(redis_url)
    label = r'<order."%s".ü #42, key o"%s\n\x9b17>'
    shown = [ours["headers"][name] for name in ("argsrepr", "kwargsrepr")]
    assert shown == ([label, "{…}"] if call == "kwargs" else [f"({label},)", "{}"])


@WRITERS
@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"a": 1}, '{"a": 1}'),
        ("x" * 1000, f'"{"x" * 199}…'),
        ({"headers": {"payload": 2}, "b": 'c, "headers": '}, '{"headers": {"payload": 2}, "b": "c, \\"headers\\": "}'),
        (None, "null"),
    ],
)
def test_of_a_whole_event_the_beginning_of_its_payload_is_shown(
    app: Celery, redis_url: str, *, writer: str, payload: Any, said: str
) -> None:
    event = {"offset": 42, "topic": "t", "key": '"payload": 1', "payload": payload, "headers": {"a": ["headers"]}}
    to = client(call="event")
    with sending(app, writer) as sender:
        assert sender.send(to, [delivery(to, topic="t", body=json.dumps(event))]) == []
    [ours] = sent(redis_url)
    assert ours["headers"]["argsrepr"] == f"(<t #42> {said},)"


@WRITERS
@pytest.mark.parametrize("report_by", ["callback", "in-process"])
def test_a_batch_in_calls_is_what_celery_s_own_map_would_send(
    app: Celery, redis_url: str, *, writer: str, report_by: str
) -> None:
    to = client(batch=3, batch_as="calls", report_by=report_by)
    out = [delivery(to, offset=offset) for offset in (42, 43, 44, 45)]
    with sending(app, writer) as sender:
        assert sender.send(to, out) == []
    many, alone = sent(redis_url)
    signed = ("c", [42, 43, 44], 1, 1, sign("s", ("c", "42,43,44", 1, 1), generation=1))
    headers: dict[str, Any] = {"bridge_client": "c", "bridge_offset": 42, "bridge_attempt": 1, "bridge_epoch": 1}
    headers["bridge_generation"] = 1
    if report_by == "in-process":
        headers |= {"bridge_offsets": [42, 43, 44], "bridge_signature": signed[-1]}
    by_callback = report_by == "callback"
    xmap(app.signature("fleet.handle"), [json.loads(d.body) for d in out[:3]], app=app).apply_async(
        task_id="c:42",
        queue="celery",
        shadow="fleet.handle",
        link=celery_link("bridge.commit", "bridge", signed) if by_callback else None,
        link_error=celery_link("bridge.fail", "bridge", signed) if by_callback else None,
        headers=headers,
    )
    # Celery's own says what the sender's app thinks of results; the bridge leaves that to the fleet.
    assert flat(many) == {**flat(sent(redis_url)[2]), **FLEETS_OWN}
    assert many["headers"]["argsrepr"] == f'(<order."%s".ü #42..44 (3 events)> [{out[0].body}, …],)'
    assert alone["headers"]["task"] == "fleet.handle"
    assert flat(alone)["body"][:2] == [[json.loads(out[3].body)], {}], "what is alone is an ordinary task"


@WRITERS
def test_a_batch_keeps_its_order_and_every_message_has_a_tag_of_its_own(
    app: Celery, redis_url: str, *, writer: str
) -> None:
    to = client()
    with sending(app, writer) as sender:  # no more than a busy machine sends in one call, with an old kombu too
        sender.send(to, [delivery(to, offset=offset) for offset in range(120)])
    messages = sent(redis_url)
    assert [message["headers"]["bridge_offset"] for message in messages] == list(range(120))
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 120


def test_key_prefix_and_queue_are_honoured(redis_url: str) -> None:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": "tenant-"}
        to = client(queue="bills")
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        sender.send(to, [delivery(to)])
        sender.close()
    assert len(sent(redis_url, "tenant-bills")) == 1


def test_a_receiver_of_publish_signals_hears_of_every_message(app: Celery, redis_url: str) -> None:
    heard: list[str] = []

    def hear(sender: str, **_: Any) -> None:
        heard.append(sender)

    signals.before_task_publish.connect(hear)
    try:
        to = client()
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        sender.send(to, [delivery(to), delivery(to, offset=43)])
        sender.close()
    finally:
        signals.before_task_publish.disconnect(hear)
    assert heard == ["fleet.handle", "fleet.handle"]
    assert len(sent(redis_url)) == 2


@WRITERS
def test_a_payload_without_fields_can_t_be_keyword_arguments(app: Celery, redis_url: str, *, writer: str) -> None:
    to = client(call="kwargs")
    with sending(app, writer) as sender:
        [refused] = sender.send(to, [delivery(to, body="[1]", offset=7), delivery(to)])
    assert refused.offset == 7
    assert [message["headers"]["bridge_offset"] for message in sent(redis_url)] == [42]


@WRITERS
def test_a_setting_that_changes_is_in_the_next_message_of_a_sender_that_goes_on(
    app: Celery, redis_url: str, *, writer: str
) -> None:
    with sending(app, writer) as sender:
        for settings in ({}, {"call": "kwargs"}, {"queue": "other"}, {}):
            to = client(**settings)
            sender.send(to, [delivery(to)])
    bodies = [flat(message)["body"][:2] for message in sent(redis_url)]
    payload = json.loads(delivery(client()).body)
    assert bodies == [[[payload], {}], [[], payload], [[payload], {}]]
    assert len(sent(redis_url, "other")) == 1


OTHER: dict[str, Any] = {
    "task": "fleet.other",
    "bridge": "another",
    "routes": (("order.#", "fleet.other"),),
    "queue": "other",
    "topics": ("order.#",),
    "ordering": "none",
    "window": 7,
    "call": "payload",
    "serializer": "yaml",
    "ack_timeout_seconds": 7,
    "max_attempts": 7,
    "backoff_seconds": 7,
    "backoff_max_seconds": 7,
    "on_exhausted": "halt",
    "batch": 7,
    "batch_wait_ms": 7,
    "batch_as": "calls",
    "report_by": "in-process",
    "rate": "7/s",
    "burst": 7,
    "priority": 7,
    "headers": ("tenant", "source=seven"),
    "time_limit_seconds": 7,
    "soft_time_limit_seconds": 7,
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_stencil_serves_until_any_setting_of_its_client_changes(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    rendered: list[Client] = []

    def count(app: Celery, producer: Any, client: Client, *args: Any, **options: Any) -> None:
        rendered.append(client)
        publish(app, producer, client, *args, **options)

    monkeypatch.setattr(cutter, "publish", count)
    first, changed, elsewhere = client(), client(**{setting: OTHER[setting]}), client(id="elsewhere")
    with Celery("bridge", broker="memory://", set_as_current=False) as app, app.connection_for_write() as connection:
        writer = KombuWriter(app, connection.Producer(), queue="bridge", secret="s")
        # The last one is made again: those of earlier settings are not kept.
        for to in (first, first, elsewhere, first, changed, changed, first):
            list(writer.cut(to, [delivery(to)]))
    assert rendered == [first, elsewhere, changed, first]

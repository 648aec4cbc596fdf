"""What a delivery's message consists of, the same whichever way it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Producer

from bridge.contract import COMMIT, FAIL, MAP, callback_signature, sign
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery


def content(client: Client, delivery: Delivery) -> Any:
    """What the task is called with: the event, its payload, or a mapping of keyword arguments.

    Raises:
        Undeliverable: the payload can't be what the client's `call` asks for.
    """
    try:
        value = json.loads(delivery.body)
    except RecursionError:
        raise Undeliverable(delivery.offset, "the payload is nested too deeply for Python's JSON") from None
    if client.call == "kwargs" and not isinstance(value, dict):
        raise Undeliverable(delivery.offset, NO_KEYWORDS)
    return value


def signature_of(secret: str, parcel: Sequence[Delivery]) -> str:
    """Make the signature of a message's callbacks."""
    head = parcel[0]
    offsets = head.offset if len(parcel) == 1 else ",".join([str(delivery.offset) for delivery in parcel])
    return sign(secret, (head.client.id, offsets, head.epoch, head.attempt))


NO_KEYWORDS = "the payload is no JSON object, so it has no keyword arguments"


def _call(
    app: Celery, client: Client, task: str, value: Any, *, batched: bool
) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, arguments and keyword arguments of the task that a message calls."""
    if client.call == "kwargs":
        return task, [], value
    if batched and client.batch_as == "calls":
        return MAP, [], {"task": dict(app.signature(task)), "it": value}
    return task, [value], {}


def publish(
    app: Celery,
    producer: Producer,
    client: Client,
    *,
    task: str,
    task_id: str,
    value: Any,
    batched: bool,
    shown: str,
    headers: dict[str, object],
    reported: Sequence[object],
    queue: str,
) -> None:
    """Let Celery make one message and kombu publish it.

    `value` is what the task is called with: an event, or, `batched`, a list of them, or, if a client's `call` is
    `kwargs`, keyword arguments. `shown` is the event in one word, for Flower and logs; `reported` are client, offset
    (of a batch: offsets), epoch, attempt and signature, the arguments of both callbacks, which go to the bridge's own
    `queue`. With in-process commit there are no callbacks; the worker finds the same in the headers.
    """
    amqp, by_callback = app.amqp, client.report_by == "callback"
    name, args, kwargs = _call(app, client, task, value, batched=batched)
    if not by_callback:
        headers = {**headers, "bridge_epoch": reported[2], "bridge_signature": reported[4]}
        if client.batch > 1:
            headers["bridge_offsets"] = reported[1]
    message = amqp.as_task_v2(
        task_id,
        name,
        args,
        kwargs,
        callbacks=[callback_signature(COMMIT, queue, reported)] if by_callback else None,
        errbacks=[callback_signature(FAIL, queue, reported)] if by_callback else None,
        create_sent_event=app.conf.task_send_sent_event,
        shadow=task if name == MAP else None,  # what Flower and the worker's log call it
        ignore_result=None,  # False, Celery's default up to 5.6, would override the fleet's own setting
        argsrepr="()" if client.call == "kwargs" else f"({shown},)",
        kwargsrepr=f"{{{shown}}}" if client.call == "kwargs" else "{}",
    )
    amqp.send_task_message(
        producer,
        name,
        message,
        exchange="",
        routing_key=client.queue,
        exchange_type="topic",  # keeps Celery from rewriting the anonymous exchange to the default queue
        serializer=client.serializer,
        declare=[],
        mandatory=True,  # where the queue is missing, RabbitMQ drops a message without a word, unless it is told to say so
        retry=False,  # the pass is rolled back instead, and the next tick tries again
        headers=headers,
    )

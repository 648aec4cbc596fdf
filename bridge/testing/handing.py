"""Call a client's task with events, as a worker of the fleet would, in this process.

The message is made by the code that makes it in production, and goes through a queue in memory: so the task gets what
the client's serializer makes of the event, under the task id and with the headers that it would have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.exceptions import Retry
from celery.result import EagerResult
from celery.states import IGNORED, REJECTED
from kombu import Connection, Producer

from bridge.contract import CallbackArgs
from bridge.errors import BridgeError, InvalidEvent, UsageError
from bridge.model import Client, Delivery
from bridge.sender.message import TaskCall, publish
from bridge.sender.parcels import headers_of, is_batch, task_for
from bridge.sender.reading import sort_out
from bridge.sender.shown import argument_of, label_of
from bridge.settings.headers import message_headers

BROKER = "memory://"
MOST_RETRIES = 1000  # of Celery's own, in one attempt
CUSTOM = "bridge_"  # begins the names of the headers that the bridge adds


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """An event that a client's task was called with, in a test.

    Attributes:
        client: Id of the client.
        offset: The event's place in the log.
        topic: Its topic.
        key: Its ordering key.
        attempts: How many times the task was called with it, this time included.
        error: What the last attempt raised; None if it succeeded.
        parked: Whether that was the last attempt, so that the event would be set aside.
    """

    client: str
    offset: int
    topic: str
    key: str | None
    attempts: int
    error: BaseException | None = None
    parked: bool = False


def hand_over(app: Celery, client: Client, parcel: Sequence[Delivery]) -> None:
    """Call the task with these events, of which each has the same task and attempt.

    Raises:
        InvalidEvent: no worker could read an event; in production it is parked.
        UsageError: the app does not know the task.
        BridgeError: the task has ended in a way of which Celery reports nothing.
        Exception: what the task raised, as it raised it.
    """
    _, unreadable = sort_out(client, parcel)
    if unreadable:
        fault = unreadable[0]
        raise InvalidEvent(f"event {fault.offset} would be parked for client {client.id!r}: {fault}")
    name, args, kwargs, headers = _through_a_queue(app, client, parcel)
    if name not in app.tasks:
        raise UsageError(
            f"task {name!r} of client {client.id!r} is not known to app {app.main!r}: import the module that has it"
        )
    asked_for = {*message_headers(client.headers).fixed, *headers_of(parcel), *parcel[0].trace}
    custom = {header: it for header, it in headers.items() if header.startswith(CUSTOM) or header in asked_for}
    _call(partial(app.tasks[name].apply, args, kwargs, task_id=headers["id"], headers=custom))


def _call(apply: Callable[..., EagerResult]) -> None:
    """Call a task, and again as often as it retries itself: all of it is one attempt, and nothing waits in between.

    Raises:
        BridgeError: Celery would report nothing, or the task retries itself without end.
        Exception: what the task raised, in its last retry if there was one.
    """
    for retries in range(1, MOST_RETRIES + 1):
        try:
            result = apply(throw=True)
        except Retry as again:
            if again.sig is None:
                raise
            apply = partial(again.sig.apply, retries=retries)
            continue
        _raise_if_unreported(result)
        return
    raise BridgeError(f"a task has retried itself {MOST_RETRIES:,} times: give it max_retries")


def _raise_if_unreported(result: EagerResult) -> None:
    if result.state in (IGNORED, REJECTED):
        raise BridgeError(
            f"task {result.name!r} has raised {'Ignore' if result.state == IGNORED else 'Reject'}: Celery reports "
            "nothing then, so the event would go out again at the end of its lease"
        )


def _through_a_queue(
    app: Celery, client: Client, parcel: Sequence[Delivery]
) -> tuple[str, Sequence[Any], dict[str, Any], dict[str, Any]]:
    """Let the message be made, sent and read; return the task's name, its arguments, and the headers."""
    queue = f"bridge.testing.{uuid4()}"
    there = replace(client, queue=queue, report_by="callback")  # nothing reports: the test sees what happens
    with Connection(BROKER) as connection, connection.SimpleQueue(queue, accept=[client.serializer]) as simple:
        publish(app, Producer(connection.default_channel), there, _task_call(client, parcel), queue=queue)
        message = simple.get(block=False)
        args, kwargs, _ = message.payload
        message.ack()
        simple.queue.delete()
    return message.headers["task"], args, kwargs, message.headers


def _task_call(client: Client, parcel: Sequence[Delivery]) -> TaskCall:
    """Return the call of the client's task with these events."""
    head, batched = parcel[0], is_batch(client, parcel)
    contents = [_content(client, delivery) for delivery in parcel]
    offsets = [delivery.offset for delivery in parcel]
    return TaskCall(
        task=task_for(client, head.topic),
        task_id=head.task_id,
        value=contents if batched else contents[0],
        batched=batched,
        label=label_of(parcel),
        argument=argument_of(client, parcel, batched=batched),
        offset=head.offset,
        trace=head.trace,
        callback=CallbackArgs(client.id, offsets if batched else head.offset, head.epoch, head.attempt, ""),
        headers=headers_of(parcel),
    )


def _content(client: Client, delivery: Delivery) -> Any:
    content = json.loads(delivery.body)
    if client.call in ("event", "cloudevent"):
        content["attempt"] = delivery.attempt
    return content

"""The content of a delivery's message, the same for all three writers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu import Producer

from bridge.contract import (
    ATTEMPT_HEADER,
    CLIENT_HEADER,
    COMMIT,
    EPOCH_HEADER,
    FAIL,
    GENERATION_HEADER,
    MAP,
    OFFSET_HEADER,
    OFFSETS_HEADER,
    SIGNATURE_HEADER,
    CallbackArgs,
    celery_link,
    joined,
    sign,
)
from bridge.model import Client, Delivery
from bridge.settings.headers import message_headers
from bridge.tracing.context import DATADOG_TRACE, SENTRY_TRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """One task call, as a message carries it. A stencil is rendered from one whose values are markers.

    Attributes:
        task: Name of the task.
        task_id: Its id, unique to this attempt.
        value: An event; of a batch a list of them; keyword arguments where the client's `call` is `kwargs`.
        batched: Whether `value` is a list.
        label: The event in one word, for Flower and logs.
        argument: The beginning of its argument, for these; empty where it is not shown.
        offset: The event's; of a batch, of its first event.
        trace: Trace headers, such as `traceparent`.
        callback: The arguments of both callbacks.
        headers: What else the message gets from the event's headers: what the client asks for, and other tracers'.
    """

    task: str
    task_id: str
    value: Any
    batched: bool
    label: str
    argument: str
    offset: int | str
    trace: Mapping[str, str]
    callback: CallbackArgs
    headers: Mapping[str, str] = field(default_factory=dict)


def signature_of(secret: str, parcel: Sequence[Delivery]) -> str:
    """Make the signature of a message's callbacks."""
    head = parcel[0]
    offsets = head.offset if len(parcel) == 1 else joined([delivery.offset for delivery in parcel])
    return sign(secret, (head.client.id, offsets, head.epoch, head.attempt), generation=head.client.generation)


def publish(app: Celery, producer: Producer, client: Client, call: TaskCall, *, queue: str) -> None:
    """Let Celery make one message and kombu publish it.

    Its callbacks go to `queue`, the bridge's own. Where the fleet's worker reports in-process there are no callbacks;
    the worker finds in the headers what they would report.
    """
    name, args, kwargs = _name_and_arguments(app, client, call)
    by_callback = client.report_by == "callback"
    message = app.amqp.as_task_v2(
        call.task_id,
        name,
        args,
        kwargs,
        callbacks=[celery_link(COMMIT, queue, call.callback)] if by_callback else None,
        errbacks=[celery_link(FAIL, queue, call.callback)] if by_callback else None,
        create_sent_event=app.conf.task_send_sent_event,
        shadow=call.task if name == MAP else None,  # what Flower and the worker's log call it
        ignore_result=None,  # False, Celery's default up to 5.6, would override the fleet's own setting
        **_shown(client, call),
        time_limit=client.time_limit_seconds or None,
        soft_time_limit=client.soft_time_limit_seconds or None,
    )
    app.amqp.send_task_message(
        producer,
        name,
        message,
        exchange="",
        routing_key=client.queue,
        exchange_type="topic",  # keeps Celery from rewriting the anonymous exchange to the default queue
        serializer=client.serializer,
        declare=[],
        mandatory=True,  # where the queue is missing, RabbitMQ drops a message without a word, unless told to say so
        retry=False,  # the pass is rolled back instead, and the next tick tries again
        headers=_headers(client, call),
        **({"priority": client.priority} if client.priority else {}),
    )


def _shown(client: Client, call: TaskCall) -> dict[str, str]:
    """Return what Flower and logs show as the arguments; keyword arguments stand by themselves."""
    if client.call == "kwargs":
        return {"argsrepr": call.label, "kwargsrepr": call.argument or "{…}"}
    said = f"{call.label} {call.argument}" if call.argument else call.label
    return {"argsrepr": f"({said},)", "kwargsrepr": "{}"}


def _name_and_arguments(app: Celery, client: Client, call: TaskCall) -> tuple[str, list[Any], dict[str, Any]]:
    """Return name, arguments and keyword arguments of the task that a message calls."""
    if client.call == "kwargs":
        return call.task, [], call.value
    if call.batched and client.batch_as == "calls":
        return MAP, [], {"task": dict(app.signature(call.task)), "it": call.value}
    return call.task, [call.value], {}


def _headers(client: Client, call: TaskCall) -> dict[str, object]:
    """Return the headers that a client asks for, and the bridge's; `args_in_headers` reads those of in-process."""
    headers: dict[str, object] = {
        **message_headers(client.headers).fixed,
        **call.headers,
        CLIENT_HEADER: client.id,
        OFFSET_HEADER: call.offset,
        GENERATION_HEADER: client.generation,
        ATTEMPT_HEADER: call.callback.attempt,
        EPOCH_HEADER: call.callback.epoch,
        **call.trace,
    }
    if client.report_by == "in-process":
        headers[SIGNATURE_HEADER] = call.callback.signature
        if client.batch > 1:
            headers[OFFSETS_HEADER] = call.callback.offset
    if SENTRY_TRACE in call.trace or DATADOG_TRACE in call.headers:  # these look here, and nowhere else
        headers["headers"] = dict(headers)  # what is here is all that `self.request.headers` shows
    return headers

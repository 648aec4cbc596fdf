"""The Celery writer: Celery makes every message and kombu publishes it, in any serialisation, with Celery's signals.

It needs nothing but documented interfaces, and serves wherever the other two do not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kombu.exceptions import EncodeError
from kombu.serialization import dumps

from bridge.bounds import SAID_CHARACTERS
from bridge.contract import CallbackArgs
from bridge.errors import BrokerRefuses, Undeliverable, Unsent
from bridge.model import Client, Delivery
from bridge.sender.message import TaskCall, publish, signature_of
from bridge.sender.parcels import headers_of, is_batch, pack
from bridge.sender.shown import argument_of, label_of
from bridge.sender.writer import Writer, left_for_later
from bridge.tracing.listeners import continued

PLAIN = [[{"text": "", "number": 1, "nothing": None, "list": []}], {}, {"callbacks": None}]


class CeleryWriter(Writer):
    """Publishes messages as `app.send_task` does."""

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> Sequence[Unsent]:
        """Publish these deliveries in order; return those that the serializer refuses, or there was no time for."""
        refused: list[Unsent] = []
        parcels = list(pack(client, deliveries))

        def publish(message: tuple[str, Sequence[Delivery]]) -> None:
            task, parcel = message
            began = time.thread_time()
            refused.extend(self._send_parcel(client, task, parcel))
            self.slow.note(client, parcel, time.thread_time() - began)

        try:
            published = self._publish_each(parcels, len(parcels), publish)
        except BrokerRefuses as error:
            at_fault = {each.offset for each in refused}
            tried = [parcel for _, parcel in parcels[: len(error.taken)]]
            made = sum(any(it.offset not in at_fault for it in parcel) for parcel in tried)
            error.taken, error.refused = frozenset(range(made)), tuple(refused)
            raise
        return [*refused, *left_for_later([parcel for _, parcel in parcels], published)]

    def _send_parcel(self, client: Client, task: str, parcel: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish one message; where it can't be serialised, one without the events at fault, and return these."""
        contents = {delivery.offset: json.loads(delivery.body) for delivery in parcel}
        try:
            self._publish(client, task, parcel, contents)
        except EncodeError as error:  # nothing of the message was sent
            refused = _unwritable(client, contents)
            if not refused and len(parcel) > 1:
                return [each for one in parcel for each in self._send_parcel(client, task, [one])]
            if not refused:
                refused = [Undeliverable(parcel[0].offset, _said(client, error))]
            at_fault = {each.offset for each in refused}
            rest = [delivery for delivery in parcel if delivery.offset not in at_fault]
            return refused + (self._send_parcel(client, task, rest) if rest else [])
        return []

    def _publish(self, client: Client, task: str, parcel: Sequence[Delivery], contents: Mapping[int, Any]) -> None:
        head, batched = parcel[0], is_batch(client, parcel)
        offsets = [delivery.offset for delivery in parcel]
        call = TaskCall(
            task=task,
            task_id=head.task_id,
            value=[contents[offset] for offset in offsets] if batched else contents[head.offset],
            batched=batched,
            label=label_of(parcel),
            argument=argument_of(client, parcel, batched=batched) if self._shows else "",
            offset=head.offset,
            trace=head.trace,
            callback=CallbackArgs(
                client=client.id,
                offset=offsets if batched else head.offset,
                epoch=head.epoch,
                attempt=head.attempt,
                signature=signature_of(self._secret, parcel),
            ),
            headers=headers_of(parcel),
        )
        with continued({**call.headers, **call.trace}):  # a listener would replace it by the context that is current
            publish(self._app, self._producer, client, call, queue=self._queue)


def _unwritable(client: Client, contents: Mapping[int, Any]) -> list[Undeliverable]:
    """Return the events that the client's serializer refuses, each with what it says.

    Raises:
        EncodeError, SerializerNotInstalled: it refuses the plainest of messages too, so no event is at fault.
    """
    dumps(PLAIN, client.serializer)
    refused = []
    for offset, content in contents.items():
        try:
            dumps(content, client.serializer)
        except EncodeError as error:
            refused.append(Undeliverable(offset, _said(client, error)))
    return refused


def _said(client: Client, error: EncodeError) -> str:
    said = str(error) or type(error.__cause__ or error).__name__
    return f"serializer {client.serializer!r} can't write it: {said}"[:SAID_CHARACTERS]

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

from bridge.bounds import QUOTED_CHARACTERS
from bridge.contract import CallbackArgs
from bridge.errors import BrokerRefuses, Undeliverable, Unsent
from bridge.model import Client, Delivery
from bridge.sender.message import TaskCall, publish, signature_of
from bridge.sender.parcels import headers_of, is_batch, pack
from bridge.sender.shown import argument_of, label_of
from bridge.sender.writer import Writer, left_for_later
from bridge.tracing.listeners import continued
from bridge.wording import words_of

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
            return self._send_others(
                client, task, parcel, refused or [Undeliverable(parcel[0].offset, _said(client, error))]
            )
        except BaseException as error:
            # A serializer of somebody's own may return what is no message, or raise what ends a process.
            broken = isinstance(error, TypeError | ValueError | AttributeError) or not isinstance(error, Exception)
            if not broken or not (refused := _unwritable(client, contents)):
                raise
            return self._send_others(client, task, parcel, refused)
        return []

    def _send_others(
        self, client: Client, task: str, parcel: Sequence[Delivery], refused: list[Undeliverable]
    ) -> list[Undeliverable]:
        """Publish one message without the events that were refused; return these, and what else is refused."""
        at_fault = {each.offset for each in refused}
        rest = [delivery for delivery in parcel if delivery.offset not in at_fault]
        return refused + (self._send_parcel(client, task, rest) if rest else [])

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
    _write(client, PLAIN)
    refused = []
    for offset, content in contents.items():
        try:
            _write(client, content)
        except EncodeError as error:
            refused.append(Undeliverable(offset, _said(client, error)))
    return refused


def _write(client: Client, content: Any) -> None:
    """Have the client's serializer write something.

    Raises:
        EncodeError, SerializerNotInstalled: it can't.
    """
    try:
        _, _, written = dumps(content, client.serializer)
    except Exception:
        raise  # kombu has made it one of these
    except BaseException as error:
        raise EncodeError(f"it raises {type(error).__name__}") from error
    if isinstance(written, str):
        try:
            written.encode()
        except UnicodeEncodeError as error:
            raise EncodeError("it returns a text that holds half a surrogate pair") from error
    elif not isinstance(written, bytes | bytearray | memoryview):
        raise EncodeError(f"it returns {type(written).__name__}, and neither text nor bytes")


def _said(client: Client, error: EncodeError) -> str:
    said = words_of(error) or type(error.__cause__ or error).__name__
    return f"serializer {client.serializer!r} can't write it: {said}"[:QUOTED_CHARACTERS]

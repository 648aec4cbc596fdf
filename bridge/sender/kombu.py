"""The kombu writer: message bodies are cut from a stencil, and kombu publishes them on whatever transport.

Making a message is the largest part of the cost of publishing it. All that Celery would add is in the stencil already.
It serves where no one can tell the difference: json messages, no receiver of Celery's publish signals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery
from kombu import Producer

from bridge.broker.fast_ways import DELIVERY_TAGS, KOMBU_STENCIL
from bridge.broker.internals.connections import is_virtual, number_messages
from bridge.errors import Unsent
from bridge.model import Client, Delivery
from bridge.sender.cutter import Cut, Cutter, Rendered
from bridge.sender.parcels import pack
from bridge.sender.pieces import Pieces
from bridge.sender.writer import left_for_later
from bridge.tracing.listeners import only_trace, unrecorded


class KombuWriter(Cutter[dict[str, Any]]):
    """Cuts bodies and headers; their place are the options that Celery would publish them with."""

    fast_way = KOMBU_STENCIL

    def __init__(self, app: Celery, producer: Producer, *, queue: str, secret: str, shows: bool = True) -> None:
        super().__init__(app, producer, queue=queue, secret=secret, shows=shows)
        if is_virtual(producer.channel) and DELIVERY_TAGS.conforms():
            number_messages(producer.channel)

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Unsent]:
        """Publish these deliveries in order; return those that there was no time for."""
        number = len(deliveries)  # of messages, at most
        published = self._publish_each(self.cut(client, deliveries), number, self._publish)
        if published == number:
            return []
        return left_for_later([parcel for _, parcel in pack(client, deliveries)], published)

    def _publish(self, message: Cut[dict[str, Any]]) -> None:
        options, changing, body = message
        whole = body if isinstance(body, str) else self._whole(body)
        self._producer.publish(whole, **options, **json.loads(str(changing)))

    def _whole(self, body: Pieces) -> str | bytearray:
        """Put a large body together, as this transport takes it: kombu's virtual ones may need a text."""
        return body.whole().decode() if is_virtual(self._producer.channel) else body.whole()

    def _rendered(self, write: Callable[[Any], object], own: Mapping[str, str]) -> Rendered[dict[str, Any]]:
        published: list[tuple[Any, dict[str, Any]]] = []

        class Keeper:
            """Stands for a producer."""

            def publish(self, body: Any, **options: Any) -> None:
                published.append((body, options))

        with unrecorded():
            write(Keeper())
        [(body, options)] = published
        options["headers"] = only_trace(options["headers"], own)
        changing = {name: options.pop(name) for name in ("headers", "correlation_id")}
        del options["serializer"]
        options |= {"content_type": "application/json", "content_encoding": "utf-8"}
        return options, json.dumps(changing), json.dumps(body)

    def _opened(self, rendered: Rendered[dict[str, Any]]) -> object:
        options, changing, body = rendered
        return options, json.loads(changing), json.loads(body)

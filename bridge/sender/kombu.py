"""The portable path where nobody listens: bodies are cut from a stencil, and kombu publishes them on whatever transport.

Making a message is most of what publishing it costs. What Celery would add to this one is in the stencil already.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Producer

from bridge.broker.pipelined import pipelined
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.cutter import Cutter, Form, sort_out
from bridge.sender.stencil import Stencil


class KombuWriter(Cutter[dict[str, Any]]):
    """Cuts bodies and headers; their place are the options that Celery would publish them with."""

    def __init__(self, app: Celery, producer: Producer, *, queue: str, secret: str) -> None:
        super().__init__(app, producer, queue=queue, secret=secret)
        if hasattr(producer.channel, "_next_delivery_tag"):
            # kombu's virtual transports ask the system for a random number per message, and each time the thread that
            # fetches the next events gets in between: one number and a counter are as unique, and twice as fast.
            drawn, numbers = uuid.uuid4().hex, itertools.count()
            producer.channel._next_delivery_tag = lambda: f"{drawn}.{next(numbers)}"

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish these deliveries in order; returns those that no message can be made of."""
        deliveries, refused = sort_out(client, deliveries)
        with pipelined(self._producer, len(deliveries)):
            for options, changing, body in self.cut(client, deliveries):
                self._producer.publish(body, **options, **json.loads(changing))
        return refused

    def _render(self, client: Client, form: Form) -> tuple[dict[str, Any], Stencil]:
        """How messages are published, and what they are cut from: one that Celery handed to kombu."""
        published: list[tuple[Any, dict[str, Any]]] = []

        class Keeper:
            """Stands for a producer."""

            def publish(self, body: Any, **options: Any) -> None:
                published.append((body, options))

        self._publish(Keeper(), client, form)
        [(body, options)] = published
        changing = {name: options.pop(name) for name in ("headers", "correlation_id")}
        del options["serializer"]
        options |= {"content_type": "application/json", "content_encoding": "utf-8"}
        return options, Stencil(json.dumps(changing), json.dumps(body))

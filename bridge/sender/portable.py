"""The portable path: every message is made by Celery and published by kombu, on whatever transport, with its signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery
from kombu import Producer

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.routing import task_for
from bridge.sender.message import content, publish
from bridge.signature import sign


def send(
    app: Celery, producer: Producer, client: Client, deliveries: Sequence[Delivery], *, secret: str, queue: str
) -> list[Undeliverable]:
    """Publish these deliveries in order; returns those that no message can be made of."""
    messages, refused = [], []
    for delivery in deliveries:
        try:
            messages.append((delivery, *content(client, delivery)))
        except Undeliverable as error:
            refused.append(error)
    with _batched(producer, len(messages)):
        for delivery, args, kwargs in messages:
            attempt = (client.id, delivery.offset, delivery.epoch, delivery.attempt)
            publish(
                app,
                producer,
                client,
                task=task_for(client, delivery.topic),
                task_id=delivery.task_id,
                args=args,
                kwargs=kwargs,
                shown=f"<{delivery.topic} #{delivery.offset}>",
                headers={
                    "bridge_client": client.id,
                    "bridge_offset": delivery.offset,
                    "bridge_attempt": delivery.attempt,
                    **delivery.trace,
                },
                signed=(*attempt, sign(secret, attempt)),
                queue=queue,
            )
    return refused


@contextmanager
def _batched(producer: Producer, size: int) -> Iterator[None]:
    """One round trip for the whole batch where kombu (5.7 and later) and its transport can."""
    if size > 1 and getattr(producer, "supports_batch_publish", False):
        with producer.batch(size):
            yield
    else:
        yield

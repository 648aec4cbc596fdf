"""The portable path: every message is made by Celery and published by kombu, in any serialisation, with its signals."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu import Producer

from bridge.broker.pipelined import pipelined
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.message import content, publish, signature_of
from bridge.sender.parcels import is_batch, pack
from bridge.sender.stencil import shown


def send_by_celery(
    app: Celery, producer: Producer, client: Client, deliveries: Sequence[Delivery], *, secret: str, queue: str
) -> list[Undeliverable]:
    """Publish these deliveries in order; returns those that no message can be made of."""
    contents, refused = {}, []
    for delivery in deliveries:
        try:
            contents[delivery.offset] = content(client, delivery)
        except Undeliverable as error:
            refused.append(error)
    parcels = list(pack(client, [delivery for delivery in deliveries if delivery.offset in contents]))
    with pipelined(producer, len(parcels)):
        for task, parcel in parcels:
            head, many = parcel[0], is_batch(client, parcel)
            offsets = [delivery.offset for delivery in parcel]
            publish(
                app,
                producer,
                client,
                task=task,
                task_id=head.task_id,
                value=[contents[offset] for offset in offsets] if many else contents[head.offset],
                batched=many,
                shown=f"<{head.topic} #{shown(parcel)}>",
                headers={
                    "bridge_client": client.id,
                    "bridge_offset": head.offset,
                    "bridge_attempt": head.attempt,
                    **head.trace,
                },
                reported=(
                    client.id,
                    offsets if many else head.offset,
                    head.epoch,
                    head.attempt,
                    signature_of(secret, parcel),
                ),
                queue=queue,
            )
    return refused

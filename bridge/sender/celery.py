"""The Celery writer: Celery makes every message and kombu publishes it, in any serialisation, with Celery's signals.

It needs nothing but documented interfaces, and serves wherever the other two do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.broker.pipelined import pipelined
from bridge.contract import CallbackArgs
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.message import TaskCall, content, publish, signature_of
from bridge.sender.parcels import is_batch, pack
from bridge.sender.stencil import shown
from bridge.sender.writer import Writer


class CeleryWriter(Writer):
    """Publishes messages as `app.send_task` does."""

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish these deliveries in order; return those that no message can be made of."""
        contents, refused = {}, []
        for delivery in deliveries:
            try:
                contents[delivery.offset] = content(client, delivery)
            except Undeliverable as error:
                refused.append(error)
        parcels = list(pack(client, [delivery for delivery in deliveries if delivery.offset in contents]))
        with pipelined(self._producer, len(parcels)):
            for task, parcel in parcels:
                head, batched = parcel[0], is_batch(client, parcel)
                offsets = [delivery.offset for delivery in parcel]
                call = TaskCall(
                    task=task,
                    task_id=head.task_id,
                    value=[contents[offset] for offset in offsets] if batched else contents[head.offset],
                    batched=batched,
                    shown=f"<{head.topic} #{shown(parcel)}>",
                    offset=head.offset,
                    trace=head.trace,
                    callback=CallbackArgs(
                        client=client.id,
                        offset=offsets if batched else head.offset,
                        epoch=head.epoch,
                        attempt=head.attempt,
                        signature=signature_of(self._secret, parcel),
                    ),
                )
                publish(self._app, self._producer, client, call, queue=self._queue)
        return refused

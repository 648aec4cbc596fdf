"""What the ways that cut messages from a stencil have in common: when they may, and how a stencil is rendered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from celery import Celery, signals
from kombu import Producer

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.message import NO_KEYWORDS, publish, signature_of
from bridge.sender.parcels import is_batch, pack
from bridge.sender.stencil import MARKERS, Stencil

Place = TypeVar("Place")  # where messages of a stencil go, in the terms of a subclass


class Form(NamedTuple):
    """What messages of one stencil have in common: their task, whether they carry lists, the trace headers they have."""

    task: str
    batched: bool
    trace: tuple[str, ...]


class Cutter(Generic[Place]):
    """Cuts messages; one per connection.

    Args:
        app: Renders the messages that stencils are made of.
        producer: Publishes.
        queue: The bridge's own queue, where callbacks go.
        secret: Signs callbacks.
    """

    def __init__(self, app: Celery, producer: Producer, *, queue: str, secret: str) -> None:
        self._app = app
        self._producer = producer
        self._queue = queue
        self._secret = secret
        self._stencils: dict[tuple[object, ...], tuple[Place, Stencil]] = {}

    def cut(self, client: Client, deliveries: Sequence[Delivery]) -> Iterator[tuple[Place, str, str]]:
        """The messages of these deliveries in order: where each goes, its envelope and its body."""
        tag = uuid.uuid4().hex
        known: dict[Form, tuple[Place, Stencil]] = {}
        for nth, (task, parcel) in enumerate(pack(client, deliveries)):
            form = Form(task, is_batch(client, parcel), tuple(parcel[0].trace))
            if form not in known:
                known[form] = self._stencil(client, form)
            place, stencil = known[form]
            signature = signature_of(self._secret, parcel)
            yield place, *stencil.cut(parcel, batched=form.batched, signature=signature, tag=f"{tag}.{nth}")

    def _stencil(self, client: Client, form: Form) -> tuple[Place, Stencil]:
        made_for = (client.id, client.queue, client.call, client.report_by, client.batch > 1, client.batch_as, form)
        if made_for not in self._stencils:
            self._stencils[made_for] = self._render(client, form)
        return self._stencils[made_for]

    def _render(self, client: Client, form: Form) -> tuple[Place, Stencil]:
        """Let Celery make one message with markers in it, and keep it instead of sending it."""
        raise NotImplementedError

    def _publish(self, producer: Any, client: Client, form: Form) -> None:
        """Publish a message with markers in it."""
        publish(
            self._app,
            producer,
            client,
            task=form.task,
            task_id=MARKERS["task_id"],
            value={MARKERS["event"]: None} if client.call == "kwargs" else MARKERS["event"],
            batched=form.batched,
            shown=f"<{MARKERS['topic']} #{MARKERS['shown']}>",
            headers={
                "bridge_client": client.id,
                "bridge_offset": MARKERS["offset"],
                "bridge_attempt": MARKERS["attempt"],
                **{name: MARKERS[name] for name in form.trace},
            },
            reported=(client.id, *(MARKERS[name] for name in ("offsets", "epoch", "attempt", "signature"))),
            queue=self._queue,
        )


def is_unheard(app: Celery) -> bool:
    """Whether nobody could tell how a message was made: no one listens to Celery's publish signals, and nothing is added."""
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return (
        not any(signal.receivers for signal in listened)
        and not app.conf.task_send_sent_event
        and not app.conf.task_compression
        and app.conf.task_protocol == 2
    )


def sort_out(client: Client, deliveries: Sequence[Delivery]) -> tuple[Sequence[Delivery], list[Undeliverable]]:
    """Deliveries that a message can be made of, and what is to be said of the others."""
    if client.call != "kwargs":
        return deliveries, []
    refused = [Undeliverable(d.offset, NO_KEYWORDS) for d in deliveries if not d.body.startswith("{")]
    return [delivery for delivery in deliveries if delivery.body.startswith("{")], refused

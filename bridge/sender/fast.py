"""The fast path for Redis: messages are cut from a stencil and pushed with one command per batch.

It is taken where nobody could tell the difference: json messages on a Redis broker, no one listening to Celery's publish
signals, no task-sent events, no compression. Everything else takes the portable path.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery, signals
from kombu import Producer
from kombu.utils.json import dumps

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.routing import pack
from bridge.sender.message import NO_KEYWORDS, publish, signed
from bridge.stencil import MARKERS, Stencil

PORTION = 100  # messages of one command: it stays in the processor's cache from cutting to sending


class FastPath:
    """Cuts and pushes; one per connection.

    Args:
        app: Renders the messages that stencils are made of.
        producer: On a Redis broker.
        queue: The bridge's own queue, where callbacks go.
        secret: Signs callbacks.
    """

    def __init__(self, app: Celery, producer: Producer, *, queue: str, secret: str) -> None:
        self._app = app
        self._producer = producer
        self._queue = queue
        self._secret = secret
        self._stencils: dict[tuple[object, ...], tuple[str, Stencil]] = {}

    @staticmethod
    def serves(app: Celery, producer: Producer) -> bool:
        """Whether this connection and these listeners allow the fast path."""
        listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
        return (
            producer.connection.transport.driver_type == "redis"
            and not any(signal.receivers for signal in listened)
            and not app.conf.task_send_sent_event
            and not app.conf.task_compression
            and app.conf.task_protocol == 2
        )

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Push these deliveries in order; returns those that no message can be made of."""
        refused = []
        if client.call == "kwargs":
            refused = [Undeliverable(d.offset, NO_KEYWORDS) for d in deliveries if not d.body.startswith("{")]
            deliveries = [delivery for delivery in deliveries if delivery.body.startswith("{")]
        tag, batched = uuid.uuid4().hex, client.batch > 1
        cuts: dict[tuple[str, tuple[str, ...]], tuple[str, Stencil]] = {}
        with self._pushing() as push:
            for nth, (task, parcel) in enumerate(pack(client, deliveries)):
                form = task, tuple(parcel[0].trace)
                if form not in cuts:
                    cuts[form] = self._stencil(client, *form)
                key, stencil = cuts[form]
                push(
                    key,
                    stencil.cut(parcel, batched=batched, signature=signed(self._secret, parcel), tag=f"{tag}.{nth}"),
                )
        return refused

    @contextmanager
    def _pushing(self) -> Iterator[Callable[[str, str], None]]:
        """Push messages in portions, while the next are cut; on leaving, see that Redis took every one."""
        pool = self._producer.channel.pool
        connection = pool.get_connection()
        portions: dict[str, list[str]] = {}
        sent: list[str] = []

        def flush(key: str) -> None:
            connection.send_command("LPUSH", key, *portions.pop(key))
            sent.append(key)

        def push(key: str, text: str) -> None:
            portion = portions.setdefault(key, [])
            portion.append(text)
            if len(portion) == PORTION:
                flush(key)

        try:
            yield push
            for key in list(portions):
                flush(key)
            for _ in sent:
                connection.read_response()
        except BaseException:
            connection.disconnect()  # answers that nobody read would be taken for those of the next command
            raise
        finally:
            pool.release(connection)

    def _stencil(self, client: Client, task: str, trace: tuple[str, ...]) -> tuple[str, Stencil]:
        """The Redis key that messages go to, and what they are cut from."""
        batched = client.batch > 1
        made_for = (client.id, client.queue, client.call, client.commit, batched, task, trace)
        if made_for not in self._stencils:
            self._stencils[made_for] = self._render(client, task, trace)
        return self._stencils[made_for]

    def _render(self, client: Client, task: str, trace: tuple[str, ...]) -> tuple[str, Stencil]:
        """Let Celery and kombu make one message with markers in it, and keep it instead of storing it."""
        channel = self._producer.channel
        stored: list[tuple[str, dict[str, Any]]] = []
        channel._put = lambda queue, message, **_: stored.append((queue, message))
        try:
            publish(
                self._app,
                self._producer,
                client,
                task=task,
                task_id=MARKERS["task_id"],
                args=[] if client.call == "kwargs" else [MARKERS["event"]],
                kwargs={MARKERS["event"]: None} if client.call == "kwargs" else {},
                shown=f"<{MARKERS['topic']} #{MARKERS['shown']}>",
                headers={
                    "bridge_client": client.id,
                    "bridge_offset": MARKERS["offset"],
                    "bridge_attempt": MARKERS["attempt"],
                    **{name: MARKERS[name] for name in trace},
                },
                reported=(client.id, *(MARKERS[name] for name in ("offsets", "epoch", "attempt", "signature"))),
                queue=self._queue,
            )
        finally:
            del channel._put
        [(queue, message)] = stored
        message["properties"]["delivery_tag"] = MARKERS["tag"]
        key = (channel.global_keyprefix or "") + channel._q_for_pri(
            queue, channel._get_message_priority(message, reverse=False)
        )
        return key, Stencil(message, dumps)

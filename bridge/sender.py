"""The only broker writer: turns deliveries into Celery messages and sees the broker accept them.

A message is what `app.send_task(task, args=[event], task_id=…, queue=…, link=…, link_error=…)` would send, so that every
worker, Flower, events and tracing treat it as their own. It is made by Celery itself; kombu sends a batch in one round
trip where its transport can. Nothing is declared on the fleet's side: a queue with other arguments than ours would be
refused, so messages go to the queue by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import EncodeError, KombuError, SerializerNotInstalled

from bridge.errors import BrokerUnavailable, InvalidClient, Undeliverable
from bridge.model import Client, Delivery
from bridge.routing import task_for
from bridge.signature import sign

COMMIT = "bridge.commit"
FAIL = "bridge.fail"

# How the fleet's worker publishes a callback; patient, because a refused callback fails a task whose work is done.
CALLBACK_RETRY = {"max_retries": 10, "interval_start": 0, "interval_step": 0.5, "interval_max": 5}


def callback(task: str, queue: str, args: Sequence[object]) -> dict[str, Any]:
    """The signature that a fleet's worker publishes when an attempt ends, in the exact form that every fleet can.

    An `exchange_type` that is not `direct` keeps Celery from rewriting the anonymous exchange to the fleet's own default
    queue; a plain `queue` option would end in QueueNotFound on fleets that create no missing queues, after their task has
    succeeded. The serializer is named because a fleet's own may be one that the bridge refuses.
    """
    return {
        "task": task,
        "args": list(args),
        "kwargs": {},
        "subtask_type": None,
        "immutable": True,
        "options": {
            "exchange": "",
            "routing_key": queue,
            "exchange_type": "topic",
            "serializer": "json",
            "ignore_result": True,
            "retry": True,
            "retry_policy": CALLBACK_RETRY,
        },
    }


class Sender:
    """Publishes deliveries on an app's broker; one connection per process, made anew after an error.

    Args:
        app: The Celery app whose broker, protocol and signals are used.
        queue: Queue of the bridge's own tasks.
        secret: Key that signs callbacks.
        connect_timeout_seconds: How long to wait for the broker.
    """

    def __init__(self, app: Celery, *, queue: str, secret: str, connect_timeout_seconds: float) -> None:
        self._app = app
        self._queue = queue
        self._secret = secret
        self._connect_timeout_seconds = connect_timeout_seconds
        self._producer: Producer | None = None
        self._pid = 0

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish these deliveries in order and return when the broker has them.

        Returns:
            Deliveries that no message can be made of; all others were sent.

        Raises:
            BrokerUnavailable: some messages may have arrived, the caller must not remember any.
        """
        messages, refused = [], []
        for delivery in deliveries:
            try:
                messages.append((delivery, *self._content(client, delivery)))
            except Undeliverable as error:
                refused.append(error)
        with self._connected() as producer, _batched(producer, len(messages)):
            for delivery, args, kwargs in messages:
                self._publish(producer, client, delivery, args, kwargs)
        return refused

    def close(self) -> None:
        """Close this process's connection."""
        producer, self._producer = self._producer, None
        if producer is not None and self._pid == os.getpid():
            producer.connection.release()

    def _content(self, client: Client, delivery: Delivery) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of the task."""
        try:
            content = json.loads(delivery.body)
        except RecursionError:
            raise Undeliverable(delivery.offset, "the payload is nested too deeply for Python's JSON") from None
        if client.call != "kwargs":
            return [content], {}
        if not isinstance(content, dict):
            raise Undeliverable(delivery.offset, "the payload is no JSON object, so it has no keyword arguments")
        return [], content

    def _publish(
        self, producer: Producer, client: Client, delivery: Delivery, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        amqp = self._app.amqp
        task = task_for(client, delivery.topic)
        attempt = (client.id, delivery.offset, delivery.epoch, delivery.attempt)
        signed = (*attempt, sign(self._secret, attempt))
        shown = f"<{delivery.topic} #{delivery.offset}>"
        message = amqp.as_task_v2(
            delivery.task_id,
            task,
            args,
            kwargs,
            callbacks=[callback(COMMIT, self._queue, signed)],
            errbacks=[callback(FAIL, self._queue, signed)],
            create_sent_event=self._app.conf.task_send_sent_event,
            ignore_result=None,  # anything else would override the fleet's own setting
            argsrepr=f"({shown},)" if args else "()",
            kwargsrepr="{}" if args else f"{{{shown}}}",
        )
        amqp.send_task_message(
            producer,
            task,
            message,
            exchange="",
            routing_key=client.queue,
            exchange_type="topic",  # keeps Celery from rewriting the anonymous exchange to the default queue
            serializer=client.serializer,
            declare=[],
            retry=False,  # the pass is rolled back instead, and the next tick tries again
            headers={
                "bridge_client": client.id,
                "bridge_offset": delivery.offset,
                "bridge_attempt": delivery.attempt,
                **delivery.trace,
            },
        )

    @contextmanager
    def _connected(self) -> Iterator[Producer]:
        """This process's producer; any trouble closes it and means that the broker is not there."""
        try:
            if self._producer is None or self._pid != os.getpid():
                self._producer, self._pid = self._connect(), os.getpid()
            yield self._producer
        except (EncodeError, SerializerNotInstalled) as error:
            raise InvalidClient(f"a message can't be serialised: {error or 'no such serializer'}") from error
        except (KombuError, OSError, *self._errors()) as error:
            self.close()
            raise BrokerUnavailable(f"the broker {self._where()} is not available: {error}") from error

    def _connect(self) -> Producer:
        options = {
            "socket_timeout": self._connect_timeout_seconds * 2,
            "socket_connect_timeout": self._connect_timeout_seconds,
            **self._app.conf.broker_transport_options,
        }
        connection: Connection = self._app.connection_for_write(
            transport_options=options, connect_timeout=self._connect_timeout_seconds
        )
        connection.ensure_connection(
            max_retries=1, timeout=self._connect_timeout_seconds, reraise_as_library_errors=True
        )
        producer = self._app.amqp.Producer(connection, auto_declare=False)
        # Fleets publish callbacks without declaring anything: where this queue is missing, RabbitMQ drops them silently.
        Queue(self._queue, Exchange(""), routing_key=self._queue, durable=True)(producer.channel).queue_declare()
        return producer

    def _errors(self) -> tuple[type[BaseException], ...]:
        if self._producer is None:
            return ()
        connection = self._producer.connection
        return (*connection.connection_errors, *connection.channel_errors)

    def _where(self) -> str:
        return str(self._app.connection_for_write().as_uri())


@contextmanager
def _batched(producer: Producer, size: int) -> Iterator[None]:
    """One round trip for the whole batch where kombu (5.7 and later) and its transport can."""
    if size > 1 and getattr(producer, "supports_batch_publish", False):
        with producer.batch(size):
            yield
    else:
        yield

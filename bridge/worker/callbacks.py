"""Joined callbacks: a fleet's worker that installs the bridge publishes the callbacks of many tasks in one message.

Publishing one costs a worker as much as a small handler. Where the bridge is installed, `bridge.commit` and
`bridge.fail` are known tasks, so Celery asks them to publish themselves; here they wait up to 30 ms for others. Celery
still decides whether and when a callback is due: `self.replace`, chains and retries keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from amqp.exceptions import MessageNacked
from celery import Celery, current_task
from kombu import Producer
from kombu.exceptions import KombuError
from kombu.utils.uuid import uuid

from bridge.app import bridge_of
from bridge.bounds import TOLD_BYTES, TRACED_EVENTS
from bridge.broker.confirms import FULL
from bridge.broker.fast_ways import JOINED_CALLBACKS
from bridge.broker.internals.connections import drop
from bridge.broker.internals.rabbitmq import on_blocked, receive
from bridge.broker.own_task import OwnTask, publish_own
from bridge.broker.transports import bounded
from bridge.broker.unread import LOOK_SECONDS, SHORT, Patience
from bridge.contract import FAIL, REASON, SETTLE, SETTLED_TASKS, TRACES_HEADER
from bridge.errors import BrokerUnavailable
from bridge.settle.reasons import as_told
from bridge.tracing.context import trace_of_task
from bridge.wording import counted
from bridge.worker.outbox import outbox
from bridge.worker.telling import why_it_failed

CALLBACKS_PER_MESSAGE = 500


class TracedCallback(tuple[Any, ...]):
    """A callback as it travels, and beside it the trace of the task that has ended."""

    def __init__(self, _: Sequence[Any]) -> None:
        self.task_id: str = current_task.request.id
        self.trace = trace_of_task(current_task.request)


class JoinedCallback(OwnTask):
    """A callback that waits for others while a worker's process runs tasks, and is an ordinary task otherwise."""

    abstract = True

    def apply_async(self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any) -> Any:
        """Publish this callback with the next ones; that of a failure tells why."""
        told = as_told(why_it_failed()) if self.name == FAIL and not self._is_tried_again() else {}
        if not self._is_callback_of_a_task(options):
            kwargs = {**(kwargs or {}), REASON: told} if told else kwargs
            return super().apply_async(args, kwargs, task_id=task_id, **options)
        queue = options["routing_key"]
        callback = TracedCallback((self.name, list(args or ()), *([told] if told else [])))
        outbox((self.app, queue), CallbackPublisher(self.app, queue).publish).report([callback])
        return self.AsyncResult(task_id or uuid())

    def _is_callback_of_a_task(self, options: dict[str, Any]) -> bool:
        """Tell whether a task that runs in this process has ended with this; a callback itself only tries again."""
        if not current_task or self._is_tried_again() or not JOINED_CALLBACKS.conforms():
            return False
        request = current_task.request
        eager = self.app.conf.task_always_eager or request.is_eager or request.called_directly
        return not eager and bool(options.get("routing_key")) and bridge_of(self.app).settings.joined_callbacks

    def _is_tried_again(self) -> bool:
        """Tell whether a callback that runs as a task tries again, because Postgres is away."""
        return bool(current_task) and current_task.name in SETTLED_TASKS


class CallbackPublisher:
    """Publishes callbacks to a bridge's queue, many in one message, over a connection of its own.

    It is made when it is first used, and anew after an error. The app's own may wait for ever for a broker that has
    vanished without a word, and no outcome of this process would be told any more. Where the app asks for confirms, a
    RabbitMQ that is short of memory or disk says that it reads no more here: that one is kept, see `Patience`.

    Args:
        app: Its broker is used.
        queue: The bridge's queue.
    """

    def __init__(self, app: Celery, queue: str) -> None:
        self._app = app
        self._queue = queue
        self._producer: Producer | None = None
        self._published = 0  # on this connection: the first one is taken in any case
        self._blocked = self._unread = False
        self._patience = Patience()

    def publish(self, callbacks: Sequence[Sequence[Any]]) -> None:
        """Publish callbacks: each is a task name, arguments, and for a failure its reason.

        Raises:
            BrokerUnavailable: some may have arrived; publishing them again is harmless.
        """
        it = self._app.connection_for_write()
        try:
            for chunk in chunks_of(callbacks):
                shown = counted(len(chunk), "callback")
                # Without Celery's patience: the outbox tries again, and a worker that ends can't wait.
                producer, headers = self._connected(), _traces(chunk)
                publish_own(self._app, producer, SETTLE, [chunk], queue=self._queue, shown=shown, headers=headers)
                self._published += 1
                if self._published > 1:
                    self._patience.end()
        except MessageNacked as error:
            self.close()
            raise BrokerUnavailable(f"queue {self._queue!r}: {FULL}") from error
        except (KombuError, OSError, *it.connection_errors, *it.channel_errors) as error:
            if not self._keeps_on(error):
                self.close()
            why = SHORT if self._unread else f"the broker {it.as_uri()} is not available: {error}"
            raise BrokerUnavailable(why) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close our end of the connection."""
        producer, self._producer = self._producer, None
        self._published, self._blocked, self._unread = 0, False, False
        if producer is not None:
            drop(producer.connection)

    def _keeps_on(self, error: BaseException) -> bool:
        """Tell whether the connection is kept, because the broker has said that it does not read it for now."""
        if not self._blocked or not isinstance(error, TimeoutError):
            return False
        if not self._unread:
            self._unread = True
            self._patience.begin()
        return True

    def _look_again(self, producer: Producer) -> None:
        """Give up the connection that was not read, where it is read by now, or was kept for long enough.

        Raises:
            TimeoutError: not yet.
        """
        if not receive(producer.channel, LOOK_SECONDS) and not self._patience.is_over():
            raise TimeoutError(SHORT)
        self.close()  # a late answer would be taken for that to the next message

    def _connected(self) -> Producer:
        if self._producer is not None and self._unread:
            self._look_again(self._producer)
        if self._producer is None:
            seconds = bridge_of(self._app).settings.connect_timeout_seconds
            options = bounded(
                self._app,
                socket_timeout=2 * seconds,
                socket_connect_timeout=seconds,
                read_timeout=2 * seconds,
                write_timeout=2 * seconds,
            )
            connection = self._app.connection_for_write(transport_options=options, connect_timeout=seconds)
            try:
                connection.ensure_connection(max_retries=1, timeout=seconds, reraise_as_library_errors=True)
                if connection.transport.driver_name == "py-amqp":
                    on_blocked(connection.connection, self._set_blocked)
                self._producer = self._app.amqp.Producer(connection, auto_declare=False)
            except BaseException:
                drop(connection)
                raise
        return self._producer

    def _set_blocked(self, it_is: bool) -> None:
        self._blocked = it_is


def _traces(callbacks: Sequence[Any]) -> dict[str, Any]:
    """Return the header that says which traces the first traced ones of these belong to; nothing if none does."""
    traced = ((it.task_id, it.trace) for it in callbacks if getattr(it, "trace", None))
    found = dict(islice(traced, TRACED_EVENTS))
    return {TRACES_HEADER: found} if found else {}


def chunks_of(callbacks: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Cut callbacks into messages: at most 500 in each, and of reasons about a megabyte."""
    chunk: list[Sequence[Any]] = []
    size = 0
    for callback in callbacks:
        told = sum(len(text) for text in callback[2].values() if isinstance(text, str)) if len(callback) > 2 else 0
        if chunk and (len(chunk) >= CALLBACKS_PER_MESSAGE or size + told > TOLD_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(callback)
        size += told
    if chunk:
        yield chunk

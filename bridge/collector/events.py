"""Listen to the fleet's `task-failed` events: why a task failed, where neither its callback nor a backend tells.

A bootstep of the bridge worker, in a thread and on a connection of its own, so it is never in the way of settling. An
event is not signed. It may only fill in the reason of a failure that a signed callback has reported, and never makes an
outcome (decision 41).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.app import Bridge, bridge_of
from bridge.broker.task_events import DRIVERS, FAILED, TaskEvents
from bridge.collector.in_thread import InThread
from bridge.errors import BridgeError
from bridge.model import attempt_in
from bridge.settle.late_reasons import LateReasons
from bridge.settle.reasons import failure_in_event
from bridge.trouble import Trouble

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.collector")

LISTEN_SECONDS = 0.5  # until what was heard is filled in
ENABLE_EVERY_SECONDS = 10.0  # as Flower does, for workers that have just come
RENEW_SECONDS = 600.0  # a subscription whose other end is gone without a word hears nothing, for ever
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 30.0
STARTED_TASKS = 10_000  # whose begin is remembered


class FailureEvents(InThread):
    """Runs in workers that consume the bridge's queue, on Redis and RabbitMQ."""

    label = "Bridge events"
    thread_name = "bridge-events"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker that is to listen."""
        bridge = bridge_of(parent.app)
        wanted = bridge.is_served_here and (bridge.settings.failure_events or bridge.settings.enable_events)
        return wanted and parent.app.connection_for_read().transport.driver_type in DRIVERS

    def run(self, bridge: Bridge, stopping: threading.Event) -> None:
        """Listen until told to stop, whatever breaks meanwhile."""
        delay, reasons = FIRST_DELAY_SECONDS, LateReasons()
        trouble = Trouble(logger, what="task-failed events are not heard", over="task-failed events are heard again")
        while not stopping.is_set():
            began = time.monotonic()
            try:
                listen(bridge, reasons, stopping=stopping, trouble=trouble)
            except BridgeError as error:
                trouble.went(error)
            except Exception as error:  # kombu's and the drivers': reasons are worth no more than a line
                trouble.went(f"{type(error).__name__}: {error}")
            if time.monotonic() - began > 2 * LONGEST_DELAY_SECONDS:  # it worked for a while
                delay = FIRST_DELAY_SECONDS
            stopping.wait(delay if trouble.is_on else 0)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)


class Heard:
    """What events tell of the bridge's own tasks.

    Args:
        reasons: Takes the reasons.
    """

    def __init__(self, reasons: LateReasons) -> None:
        self._reasons = reasons
        self._started: OrderedDict[str, float] = OrderedDict()  # task id -> when it began, by its worker's clock

    def hear(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Note why attempts failed. An event may hold anything, and be about anybody's task."""
        for event in events:
            id = event.get("uuid")
            attempt = attempt_in(id)
            if attempt is None or not isinstance(id, str):
                continue
            at = event.get("timestamp")
            moment = at if isinstance(at, float) else None  # Celery's is one; an integer may be too large for a float
            if event.get("type") == FAILED:
                began = self._started.pop(id, None)
                seconds = moment - began if moment is not None and began is not None else None
                self._reasons.add(attempt, failure_in_event(event, runtime_seconds=seconds))
            elif moment is not None:
                self._started[id] = moment
                if len(self._started) > STARTED_TASKS:
                    self._started.popitem(last=False)


def listen(bridge: Bridge, reasons: LateReasons, *, stopping: threading.Event, trouble: Trouble) -> None:
    """Listen on one connection, for ten minutes at most, and fill in what is heard.

    Raises:
        BrokerUnavailable: the connection is lost.
    """
    events, heard = TaskEvents(bridge.app), Heard(reasons)
    until, enabled = time.monotonic() + RENEW_SECONDS, 0.0
    away = Trouble(logger, what="reasons that were heard wait", over="reasons that were heard are filled in again")
    try:
        while not stopping.is_set() and time.monotonic() < until:
            if bridge.settings.enable_events and time.monotonic() - enabled > ENABLE_EVERY_SECONDS:
                events.enable()
                enabled = time.monotonic()
            heard.hear(events.receive(LISTEN_SECONDS))
            trouble.back()
            try:
                reasons.fill_in(bridge.store)
            except BridgeError as error:
                away.went(error)
            else:
                away.back()
    finally:
        events.close()

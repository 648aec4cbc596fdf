"""A bridge worker begins at once: it starts the pump itself, and beat only takes over.

So a worker that was restarted, or has its broker back, hands over without waiting for beat. The tick goes through the
broker as those of beat do: whichever process of the pool is free runs it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from bridge.app import bridge_of
from bridge.broker.periodic import publish_tick, quieten
from bridge.contract import PUMP, READY
from bridge.happened import Happening, tell
from bridge.wording import said

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge")


class FirstTick(bootsteps.StartStopStep):
    """Starts the pump when a bridge worker begins to consume, and again after each reconnect to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge start"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker; its log then has no line for each tick."""
        serves = bridge_of(parent.app).is_served_here
        if serves:
            quieten()
        return serves

    def start(self, parent: Consumer) -> None:
        """Start the pump; where the broker refuses it, beat does."""
        settings = bridge_of(parent.app).settings
        try:
            publish_tick(
                parent.app,
                PUMP,
                queue=settings.queue,
                why=READY,
                expiration_seconds=2 * settings.interval_seconds,
                connect_timeout_seconds=settings.connect_timeout_seconds,
            )
        except Exception as error:  # kombu's and the driver's
            logger.info("the pump waits for beat, because its first tick could not be sent: %s", said(error))
        tell(Happening(kind="ready", about=settings.queue))

    def stop(self, parent: Any) -> None:
        """Do nothing: a tick that runs ends with its pool."""

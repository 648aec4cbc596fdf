"""Metrics as a step of a bridge worker: its main process answers scrapes, or pushes, whatever its pool is doing."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from bridge.app import bridge_of
from bridge.errors import BridgeError
from bridge.wording import said

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from wsgiref.simple_server import WSGIServer

    from celery.worker import WorkController

    from bridge.metrics.otel import Pusher
    from bridge.metrics.reading import Reading

logger = logging.getLogger("bridge.metrics")


class Metrics(bootsteps.StartStopStep):
    """Runs in a bridge worker where `bridge_metrics_port` or `bridge_metrics_otlp` is set."""

    label = "Bridge metrics"
    requires = frozenset({"celery.worker.components:Pool"})  # a thread must not run while the pool forks

    def __init__(self, parent: WorkController, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._server: WSGIServer | None = None
        self._pusher: Pusher | None = None
        self._reading: Reading | None = None

    def include_if(self, parent: WorkController) -> bool:
        """Tell whether this is a bridge worker that is to have metrics."""
        bridge = bridge_of(parent.app)
        return bool(bridge.settings.metrics_port or bridge.settings.metrics_otlp) and bridge.is_served_here

    def start(self, parent: WorkController) -> None:
        """Begin. Whatever stands in the way is a line in the log: a worker works without metrics, too."""
        from bridge.metrics.otel import Pusher
        from bridge.metrics.prometheus import serve
        from bridge.metrics.reading import Reading

        settings = bridge_of(parent.app).settings
        try:
            self._reading = Reading(parent.app)
            if settings.metrics_port:
                self._server = serve(self._reading, address=settings.metrics_address, port=settings.metrics_port)
                logger.info("metrics are at http://%s:%d/metrics", settings.metrics_address, settings.metrics_port)
            if settings.metrics_otlp:
                self._pusher = Pusher(self._reading)
        except BridgeError as error:
            logger.error("this worker has no metrics: %s", said(error))

    def stop(self, parent: WorkController) -> None:
        """End."""
        with suppress(Exception):  # the worker's own end must not fail for it
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
            if self._pusher is not None:
                self._pusher.stop()
            if self._reading is not None:
                self._reading.close()
        self._server, self._pusher, self._reading = None, None, None

    terminate = stop

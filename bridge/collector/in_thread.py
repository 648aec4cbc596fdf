"""A part of a bridge worker in a thread of its main process: the frame of the collector and its neighbours."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

from celery import bootsteps

from bridge.app import Bridge, bridge_of

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer


class InThread(bootsteps.StartStopStep):
    """Runs while the worker's consumer runs; starts anew after a broker reconnect, in another thread."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    thread_name: ClassVar[str]

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._consumer = parent
        self._stopping = threading.Event()  # one for each start: the thread of the one before may still end
        self._thread: threading.Thread | None = None

    def start(self, parent: Consumer) -> None:
        """Begin."""
        self._stopping = threading.Event()
        arguments = bridge_of(parent.app), self._stopping
        self._thread = threading.Thread(target=self.run, args=arguments, name=self.thread_name, daemon=True)
        self._thread.start()

    def stop(self, parent: Consumer) -> None:
        """Ask the thread to end; what it waits for ends by itself."""
        self._stopping.set()

    def terminate(self, parent: Consumer) -> None:
        """Stop: a worker that is told to hurry ends no other way."""
        self.stop(parent)

    def run(self, bridge: Bridge, stopping: threading.Event) -> None:
        """Work until told to stop, whatever breaks meanwhile."""
        raise NotImplementedError

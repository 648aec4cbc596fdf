"""A fleet's worker that installs the bridge runs no message from before the log's generation: it only says so.

After a restore that lost events, the messages of these events may still be in the fleet's queue. The events do not
exist any more, so their handlers must not run. `bridge.transaction` compares the generation in its own transaction. For
all other handlers the worker's main process reads it every two seconds, and shares it with the processes of its pool:
each task compares its message's header with a number in memory. A worker without the address of the database can't.
"""

from __future__ import annotations

import logging
import mmap
import struct
import threading
from functools import partial, wraps
from typing import Any

from celery import Task, bootsteps
from celery.exceptions import Ignore

from bridge.app import Bridge, bridge_of
from bridge.contract import CLIENT_HEADER, GENERATION_HEADER, OFFSET_HEADER
from bridge.errors import BridgeError
from bridge.store.generation import read_generation
from bridge.trouble import Tally, Trouble
from bridge.wording import counted, said

logger = logging.getLogger("bridge")

READ_EVERY_SECONDS = 2.0
STOP_SECONDS = 10.0
UNKNOWN = 0

_shared = mmap.mmap(-1, 4)  # mapped when this module is imported, before the main process forks
_ignored = Tally(logger)


def known_generation() -> int:
    """Return the log's generation as this worker knows it; 0 as long as it does not."""
    return int(struct.unpack("=i", _shared[:])[0])


def set_known_generation(generation: int) -> None:
    """Tell the generation to all processes of this worker."""
    _shared[:] = struct.pack("=i", generation)


class OldMessages(bootsteps.StartStopStep):
    """Lets a worker know the log's generation, and its tasks compare it."""

    requires = frozenset({"celery.worker.components:Pool"})  # a thread must not run while the pool forks

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = Trouble(logger, what="the log's generation can't be read", over="the log's generation is known")

    def include_if(self, parent: Any) -> bool:
        """Tell whether this worker can reach the log; its tasks are prepared before its pool forks."""
        set_known_generation(UNKNOWN)
        if not bridge_of(parent.app).settings.database_url:
            return False
        for task in parent.app.tasks.values():
            _compare_before(task)
        return True

    def start(self, parent: Any) -> None:
        """Read the generation before the first message comes, and again and again."""
        bridge = bridge_of(parent.app)
        self._read(bridge)
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(bridge,), name="bridge-generation", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_SECONDS)
            self._thread = None

    terminate = stop

    def _run(self, bridge: Bridge) -> None:
        while not self._stopping.wait(READ_EVERY_SECONDS):
            self._read(bridge)

    def _read(self, bridge: Bridge) -> None:
        """Read the generation; while Postgres is away, what was read last still holds."""
        try:
            set_known_generation(read_generation(bridge.store))
        except BridgeError as error:
            logger.debug("the log's generation can't be read: %s", said(error))
        except Exception as error:
            self._trouble.went(error, unexpected=error)
        else:
            self._trouble.back()


def _compare_before(task: Task[Any, Any]) -> None:
    """Let a task compare generations before it runs, and then do what its class does at that point."""
    kind = type(task)
    before = kind.before_start
    if getattr(before, "compares_generations", False):
        return

    @wraps(before)
    def before_start(self: Task[Any, Any], task_id: str, args: Any, kwargs: Any) -> None:
        refuse_old(self.request)
        before(self, task_id, args, kwargs)

    before_start.compares_generations = True  # type: ignore[attr-defined]
    kind.before_start = before_start


def refuse_old(request: Any) -> None:
    """Let the message of an older generation do nothing.

    Raises:
        Ignore: it is of an older one; Celery ignores the task.
    """
    generation = getattr(request, GENERATION_HEADER, None)
    if generation is None or not isinstance(generation, int) or generation >= known_generation():
        return
    _ignored.note(1, partial(_say, request, generation, known_generation()))
    raise Ignore(f"a message of generation {generation} of the log")


def _say(request: Any, generation: int, known: int, number: int) -> str:
    client, offset = (getattr(request, header, None) for header in (CLIENT_HEADER, OFFSET_HEADER))
    ignored = counted(
        number, "message of an older generation is ignored", "messages of an older generation are ignored"
    )
    return f"{ignored}: event {offset} of client {client} was sent in generation {generation}, the log is in {known}"

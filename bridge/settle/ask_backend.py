"""Ask the app's result backend why tasks failed, aside: whether and when it answers delays no outcome.

A backend is a third server, whose driver may wait for ever, whatever its time-outs say. So a thread asks it, and
settling waits for that thread for a bounded time, after which failures count without their reasons. A backend that did
not answer is left alone for a minute. The thread makes the backend, too: Celery's for SQL databases connects, and
creates its tables, when it is made, and each thread has one of its own. Nobody else in a bridge worker has it. To load
its driver may take longer than a batch waits, so a collector has it made before anything has failed.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from weakref import WeakKeyDictionary

from celery import Celery
from celery.backends.base import Backend, DisabledBackend

from bridge.bounds import REASONS_AT_ONCE
from bridge.broker.internals.backends import make_backend
from bridge.model import Failure
from bridge.settle.reasons import bounded, failure_in, failure_of
from bridge.wording import said

logger = logging.getLogger("bridge")

ANSWER_SECONDS = 0.7  # for all failures of a batch
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
ERRORS_IN_A_ROW = 3  # one error may be about one result, as where its class can't be rebuilt
MOST_SAID_BYTES = 300


class NoBackend(Exception):
    """The app has no result backend."""


class Question:
    """What one batch asks: the ids of tasks that failed. A thread fills in the answers.

    Attributes:
        ids: Ids of tasks.
        found: Why they failed, by id, as far as that is known by now.
        error: Why no more will be known; empty so far.
        ended: Set when no more will be known.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.found: dict[str, Failure] = {}
        self.error = ""
        self.ended = threading.Event()


class BackendAsker:
    """Asks a result backend, in a thread of its own.

    Args:
        ask: Returns what the backend keeps of the task with this id; it may hang, and raise anything; `NoBackend` says
            that nothing is to be asked, ever.
        make: Makes the backend for the thread that calls it; what it raises, `ask` raises again.
        clock: Seconds, from any moment.

    Attributes:
        has_backend: Whether there is one, as far as is known.
    """

    def __init__(
        self,
        ask: Callable[[str], object],
        *,
        make: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._make = ask, make
        self.has_backend = True
        self._clock = clock
        self._questions: queue.SimpleQueue[Question | None] | None = None
        self._thread: threading.Thread | None = None
        self._given_up: list[threading.Thread] = []  # each still waits for its answer
        self._left_alone_until = 0.0
        self._silent = False

    def begin(self, ids: Sequence[str]) -> Question | None:
        """Begin to ask, of very many ids only about the first ones; return None while the backend is left alone."""
        if self._clock() < self._left_alone_until:
            return None
        question = Question(ids[:REASONS_AT_ONCE])
        self._asked_by_thread().put(question)
        return question

    def prepare(self) -> None:
        """Let the thread make the backend, if it has not; nobody waits for that."""
        self._asked_by_thread()

    def _asked_by_thread(self) -> queue.SimpleQueue[Question | None]:
        """Return the queue of the thread that asks, and start that where there is none."""
        if self._questions is None:
            self._questions = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._work, args=(self._questions,), name="bridge-reasons", daemon=True
            )
            self._thread.start()
        return self._questions

    def end(self, question: Question, *, within_seconds: float = ANSWER_SECONDS) -> Mapping[str, Failure]:
        """Return what is known after at most `within_seconds`."""
        in_time = question.ended.wait(within_seconds)
        found = dict(question.found)
        if not in_time and not found:
            self._give_up(f"no answer in {within_seconds:g} s", stuck=True)
        elif question.error and not found:
            self._give_up(question.error, stuck=False)
        elif found and self._silent:
            self._silent = False
            logger.info("the result backend answers again")
        if not in_time:
            question.ended.set()  # for the thread: nobody waits any more
        return found

    def _give_up(self, why: str, *, stuck: bool) -> None:
        """Leave the backend alone for a while, the longer the more threads it keeps waiting."""
        if stuck and self._questions is not None and self._thread is not None:
            self._questions.put(None)
            self._given_up = [thread for thread in (*self._given_up, self._thread) if thread.is_alive()]
            self._questions = self._thread = None
        pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** max(0, len(self._given_up) - 1))
        self._left_alone_until = self._clock() + pause
        if not self._silent:
            self._silent = True
            text = "the result backend does not say why tasks fail: %s; failures count without their reasons meanwhile"
            logger.warning(text, said(why))

    def _work(self, questions: queue.SimpleQueue[Question | None]) -> None:
        """Make the backend, then answer questions until one is None: this thread was given up."""
        with suppress(BaseException):  # the first question meets it again, and says so
            self._make()
        while (question := questions.get()) is not None:
            if not question.ended.is_set():
                self._answer(question)

    def _answer(self, question: Question) -> None:
        errors = 0
        for id in question.ids:
            if question.ended.is_set() or errors >= ERRORS_IN_A_ROW:
                break
            try:
                question.found[id] = failure_in(self._ask(id))
                errors = 0
            except NoBackend:
                self.has_backend = False
                break
            except BaseException as error:  # a backend may raise anything: the failure counts without its reason too
                errors += 1
                why = failure_of(error)
                question.error = bounded(f"{why.type}: {why.message}", most_bytes=MOST_SAID_BYTES)
        question.ended.set()


_made = threading.local()  # `backend`: of the thread that asks, which asks that of one app
_askers: WeakKeyDictionary[Celery, tuple[int, BackendAsker]] = WeakKeyDictionary()


def asker_of(app: Celery) -> BackendAsker | None:
    """Return the asker of an app's result backend, which each process makes once; None if the app has no backend."""
    pid, asker = _askers.get(app, (0, None))
    if asker is None or pid != os.getpid():  # a forked child has no threads of its parent
        asker = BackendAsker(partial(_ask, app), make=partial(_backend_of, app))
        _askers[app] = os.getpid(), asker
    return asker if asker.has_backend else None


def _ask(app: Celery, id: str) -> object:
    """Ask with the backend of the thread that runs this.

    Raises:
        NoBackend: the app has none.
    """
    backend = _backend_of(app)
    if isinstance(backend, DisabledBackend):
        raise NoBackend
    return backend.get_task_meta(id)


def _backend_of(app: Celery) -> Backend:
    backend: Backend | None = getattr(_made, "backend", None)
    if backend is None:
        backend = _made.backend = make_backend(app)
    return backend

"""The fleet under torture: plain Celery, with the bridge installed only where asked, and a record of its own.

Every start and every end of a handler is one line in a file opened for appending, written with one system call: the
lines have one order for all processes, and kill -9 can't take back or tear what was written.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import Any

from celery import Celery
from kombu import Queue

app = Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    task_create_missing_queues=False,
    task_queues=[Queue("fleet")],
    task_default_queue="fleet",
    worker_prefetch_multiplier=2,
    broker_connection_retry_on_startup=True,
)
if os.environ["TORTURE_INSTALL"]:  # then its callbacks and its acks are joined
    import bridge

    bridge.install(app)


@app.task
def handle(event: dict[str, Any]) -> None:
    """Do what the payload says.

    `slow`: take that many seconds. `fails`: fail in that many first attempts. `dies`: in the first attempt, take this
    process along. `poison`: fail in every attempt, for the client of that name. `error`: in the first attempt,
    fail with an error whose text nobody could store.
    """
    todo = event["payload"]
    note("start", event)
    time.sleep(todo.get("slow", 0))
    if todo.get("dies") and event["attempt"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if event["attempt"] <= todo.get("fails", 0) or (todo.get("poison") and event["client"] == "poison"):
        note("failure", event)
        raise ValueError("told to fail")
    if todo.get("error") and event["attempt"] == 1:
        note("failure", event)
        raise_oddly(todo["error"])
    note("success", event)


class Silent(Exception):
    """An exception that does not say what it is."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("it does not say")


def raise_oddly(kind: str) -> None:
    """Raise an error of this kind; the names stand in `tests.torture.poison`."""
    texts = {
        "nul": "nul \x00 in it",
        "surrogate": "half of a pair \ud83d",
        "bytes": random.randbytes(200).decode("latin-1"),
        "long": "long " * 400_000,
    }
    if kind == "silent":
        raise Silent
    if kind == "odd type":
        raise type("Odd\ud800" + "x" * 500, (Exception,), {})("odd type")
    raise ValueError(texts[kind])


def note(what: str, event: dict[str, Any]) -> None:
    names = ("client", "offset", "attempt", "generation", "created_at")
    line = [what, *(event[name] for name in names), os.getpid()]
    record = os.open(os.environ["TORTURE_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(record, json.dumps(line).encode() + b"\n")
    finally:
        os.close(record)

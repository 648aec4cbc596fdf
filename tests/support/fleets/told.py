"""A fleet whose handlers fail in every manner: plain, or with what `SETTINGS` and `INSTALL` say."""

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery

app = Celery("told")
app.conf.update(broker_connection_retry_on_startup=True, **json.loads(os.environ.get("SETTINGS", "{}")))
if os.environ.get("INSTALL"):
    import bridge

    bridge.install(app)


class Refused(Exception):
    def __init__(self, order: int, why: str) -> None:
        super().__init__(order, why)
        self.lock = threading.Lock()  # can't be pickled

    def __str__(self) -> str:
        return "refused"


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("no words")


ERRORS: dict[str, Callable[[], Exception]] = {
    "plain": lambda: ValueError("no such order"),
    "lines": lambda: ValueError("first\nKeyError: second\n  third"),
    "odd": lambda: RuntimeError("a\0b\udce9 é"),
    "huge": lambda: RuntimeError("x" * 2_000_000),
    "own": lambda: Refused(17, "why"),
    "mute": lambda: Mute("…"),
}


@app.task(name="told.handle", time_limit=600)
def handle(event: dict[str, Any]) -> None:
    what = event["payload"]
    if what == "slow":
        time.sleep(0.3)
        raise ValueError("slow")
    if what == "killed":
        os._exit(3)
    raise ERRORS[what]()


@app.task(name="told.limited", time_limit=1)
def limited(event: dict[str, Any]) -> None:
    time.sleep(60)

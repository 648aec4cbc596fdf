"""Borrow from the requests of Celery's workers. Only workers import this."""

from __future__ import annotations

import re
import time
from typing import Any

from celery.worker.request import Request

WORTH_A_ROW = re.compile(r"\{'(sent|removed)': ([1-9]\d*)")  # the result of a run that did something, as text
SAID = {"sent": "handed over", "removed": "removed"}


class QuietRequest(Request):
    """A run of one of the bridge's periodic tasks. Flower hears of it when it has done something, and else of nothing.

    The worker sends these events itself, and only while events are on, so they cost nothing where nobody listens.
    """

    def send_event(self, type: str, **fields: Any) -> None:
        """Send the three events of a run at its end, if it is worth a row; Celery calls this for each event."""
        eventer = self._eventer
        did = WORTH_A_ROW.match(str(fields.get("result"))) if type == "task-succeeded" else None
        if did is None:
            return
        if not eventer or not eventer.enabled:
            return
        began = time.time() - float(fields.get("runtime") or 0)
        eventer.send(
            "task-received",
            uuid=self.id,
            name=self.name,
            args=f"<{SAID[did[1]]}: {did[2]}>",
            kwargs="{}",
            root_id=self.id,
            parent_id=None,
            retries=0,
            eta=None,
            expires=None,
            timestamp=began,
        )
        eventer.send("task-started", uuid=self.id, timestamp=began)
        eventer.send(type, uuid=self.id, **fields)

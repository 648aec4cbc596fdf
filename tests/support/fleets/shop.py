"""An app that bridge and fleet share, configured by the variable SETTINGS, in JSON; with PLAIN it has no bridge in it.

Its handler notes each event on a Redis list. It has limits of its own, so that settings for all tasks leave it alone.
"""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery
from redis import Redis

import bridge

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, **json.loads(os.environ.get("SETTINGS", "{}")))
if not os.environ.get("PLAIN"):
    bridge.install(app)

notebook = Redis.from_url(os.environ["NOTEBOOK_URL"])


@app.task(
    name="shop.handle",
    rate_limit=0,
    time_limit=3600,
    soft_time_limit=3600,
    ignore_result=True,
    store_errors_even_if_ignored=False,
    track_started=False,
)
def handle(event: dict[str, Any]) -> None:
    notebook.rpush("handled", event["offset"])
    if event["payload"] == "poison":
        raise ValueError("told to fail")

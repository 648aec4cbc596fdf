"""The names of clients for a shell that completes what a person types: at once, or not at all."""

from __future__ import annotations

import os

from celery import Celery

from bridge.settings.bridge import BridgeSettings
from bridge.store import Store
from bridge.store.clients import client_names

PATIENCE_SECONDS = 1  # for a statement; libpq waits twice as long at least for a connection
MOST_NAMES = 1000


def names_of_clients(app: Celery, prefix: str) -> list[str]:
    """Return the ids of clients that begin like this, over a connection of its own; the schema is not checked.

    Raises:
        BridgeError: the database is not set, or does not answer.
    """
    url = BridgeSettings.read(app.conf, os.environ).need_database_url()
    patience = {"connect_timeout_seconds": PATIENCE_SECONDS, "statement_timeout_seconds": PATIENCE_SECONDS}
    store = Store(url, role="completion", **patience)
    try:
        return client_names(store, prefix, most=MOST_NAMES)
    finally:
        store.close()

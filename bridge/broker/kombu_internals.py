"""Everything that is borrowed from the inside of kombu and Celery, and only here."""

from __future__ import annotations

from celery import Celery


def real_app(app: Celery) -> Celery:
    """Return the app itself, of Celery's `current_app` too, which is a proxy.

    Seen in Celery 5.4 to 5.7.
    """
    return app._get_current_object() if hasattr(app, "_get_current_object") else app

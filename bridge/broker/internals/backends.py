"""Borrow from Celery's apps the place where a process keeps its result backend, and the making of one."""

from __future__ import annotations

from typing import Any

from celery import Celery, states
from celery.app.backends import by_url
from celery.backends.base import Backend, DisabledBackend


class Aside(DisabledBackend):
    """Stands where a worker that runs only the bridge's own tasks would have the app's result backend.

    These tasks store nothing. Yet each process of such a worker makes the backend when it begins, and asks it about
    what is revoked: one that hangs would keep the pump from its work, and one that can't be made would end the worker.
    """

    thread_safe = True  # Celery then takes it in every thread of the process, and of those that are forked

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        try:
            found, _ = by_url(app.backend_cls or app.conf.result_backend, app.loader)
            self.supports_autoexpire = bool(getattr(found, "supports_autoexpire", True))
        except Exception:  # it can't be used at all: then beat has nothing to clean up there
            self.supports_autoexpire = True

    def get_state(self, task_id: str) -> str:
        """Return what lets Celery store nothing of a task that it revokes."""
        stored: str = states.SUCCESS
        return stored

    def as_uri(self, *args: Any, **kwargs: Any) -> str:
        """Return what the worker shows as it starts."""
        return "only asked why tasks fail"


def keep_aside(app: Celery) -> None:
    """Let this process, and those that it forks, have no result backend of the app's but `make_backend`."""
    app._backend = Aside(app)


def make_backend(app: Celery) -> Backend:
    """Make the app's result backend anew, which may hang, or raise anything."""
    return app._get_backend()

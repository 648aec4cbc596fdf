"""What a bridge worker can't work with is refused when it starts, in one line, instead of standing still later.

`docs/celery-settings.md` says of every setting of Celery whether it is honoured, harmless or refused; what is refused
is refused here. A fleet's worker is never refused anything, whether it has the bridge in it or not.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps

from bridge.app import bridge_of
from bridge.broker.accepting import accepts
from bridge.broker.transports import bound_celery, why_missing
from bridge.errors import ConfigurationError
from bridge.settings.address import read_address
from bridge.settings.bridge import BridgeSettings
from bridge.wording import said

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker import WorkController

logger = logging.getLogger("bridge")

WRONG_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


class StartCheck(bootsteps.Step):
    """Ends a worker that consumes the bridge's queue and has a setting that the bridge can't work with.

    In another one that consumes it, Celery's own waits for Redis get bounds.
    """

    label = "Bridge check"

    def include_if(self, parent: WorkController) -> bool:
        """Look at the worker's configuration; there is nothing to do later."""
        app = parent.app
        if bridge_of(app).is_served_here:
            for refusal in (*refusals(app, parent.pool_cls), *_without_database(app)):
                logger.critical("this worker can't run the bridge: %s", said(refusal))
                raise SystemExit(WRONG_CONFIGURATION)
            bound_celery(app)
        return False


def end_without(app: Celery, *, what: str = "worker") -> None:
    """End this process if the app's broker needs a package that is missing, or a setting of the bridge can't be used.

    Args:
        app: Its configuration is looked at.
        what: `worker` or `beat`.
    """
    try:
        why = why_missing(app)
        BridgeSettings.read(app.conf, os.environ)
    except ConfigurationError as error:
        why = str(error)
    if why:
        logger.critical("this %s can't start: %s", what, said(why))
        raise SystemExit(WRONG_CONFIGURATION)


def refusals(app: Celery, pool: Any) -> Iterator[str]:
    """Say why a worker of this app can't be a bridge worker: the setting, why, and what to set.

    Args:
        app: Its configuration is looked at.
        pool: The class of the worker's pool.
    """
    if app.conf.task_always_eager:
        yield (
            "task_always_eager is on, so whoever starts the pump would run it in its own process, beat too: "
            "set it to False"
        )
    if not accepts(app.conf.accept_content, "json"):
        yield (
            f"accept_content is {app.conf.accept_content!r}, and the bridge's ticks and callbacks are JSON: "
            "add 'json' to it; the events of a client may have another serializer"
        )
    if _is_a(pool, "celery.concurrency.eventlet"):
        yield (
            "in the pool eventlet, every task stands still while one waits for Postgres: "
            "take -P prefork, threads, solo or gevent"
        )
    if _is_a(pool, "celery.concurrency.gevent") and not _is_patched():
        yield "worker_pool is gevent, which Celery learns of too late: give -P gevent on the command line"


def _without_database(app: Celery) -> Iterator[str]:
    """Say why an app has no database that a bridge worker could work with: none is named, or nobody can read it."""
    try:
        read_address(bridge_of(app).settings.need_database_url())
    except ConfigurationError as error:
        yield str(error)


def _is_a(pool: Any, module: str) -> bool:
    """Tell whether a pool is the one of this module of Celery's, or derived from it."""
    return any(base.__module__ == module for base in getattr(pool, "__mro__", ()))


def _is_patched() -> bool:
    """Tell whether sockets give way to other greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))

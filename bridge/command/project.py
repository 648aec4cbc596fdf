"""From a command to the things that it works on: the Celery app, its bridge, its tasks, the store."""

from __future__ import annotations

import getpass
import os
import socket
import sysconfig
import traceback
from pathlib import Path

import click
from celery import Celery
from celery.app.utils import find_app
from celery.exceptions import ImproperlyConfigured

import bridge
from bridge.app import Bridge, bridge_of
from bridge.errors import BridgeError, ConfigurationError, UsageError
from bridge.store import Store
from bridge.store.driver_errors import translated
from bridge.store.migrate import check

OURS = str(Path(bridge.__file__).parent)
STANDARD = sysconfig.get_path("stdlib")


def named_app(name: str) -> Celery:
    """Find an app as `celery -A NAME` does.

    Raises:
        UsageError: there is no such module, no app in it, or it can't be imported.
    """
    try:
        found = find_app(name)
    except Exception as error:  # whatever the user's own module raises while it is imported
        raise UsageError(
            f"app {name!r} can't be loaded: {_where(error)}: name a module that can be imported from here, "
            "or module:attribute, as celery -A does"
        ) from error
    if not isinstance(found, Celery):
        raise UsageError(
            f"{name!r} is no Celery app but {type(found).__name__}: name the app as module:attribute, as celery -A does"
        )
    return found


def bridge_here(ctx: click.Context) -> Bridge:
    """The bridge on the app that the command line names; nothing is connected yet.

    Raises:
        ConfigurationError: the app's configuration can't be read, or a setting in it is malformed.
    """
    app = ctx.obj.app
    try:
        app.conf.get("broker_url")  # Celery reads its configuration when it is first asked
    except (ImproperlyConfigured, ImportError, SyntaxError) as error:
        raise ConfigurationError(f"the configuration of app {name_of(app)!r} can't be read: {_where(error)}") from error
    return bridge_of(app)


def raw_store(ctx: click.Context) -> Store:
    """The store whatever its schema; its connections are closed when the command ends."""
    store = bridge_here(ctx).store
    ctx.call_on_close(store.close)
    return store


def ready_store(ctx: click.Context) -> Store:
    """The store, once its schema is known to be the one that this code needs.

    Raises:
        SchemaError: says what to do.
        StoreUnavailable: Postgres does not answer.
    """
    store = raw_store(ctx)
    with translated():
        check(store.engine)
    return store


def import_tasks(app: Celery) -> None:
    """Import the modules in which the app's tasks are, as a worker does when it starts.

    Raises:
        BridgeError: one of them can't be imported; says where.
    """
    try:
        app.loader.import_default_modules()
        app.finalize()
    except BridgeError:
        raise
    except Exception as error:  # whatever the user's own modules raise
        raise BridgeError(f"the tasks of app {name_of(app)!r} can't be imported: {_where(error)}") from error


def name_of(app: Celery) -> str:
    """What to call an app in a message."""
    return str(app.main or "default")


def whoami() -> str:
    """Who is at the keyboard, for the record: user@host."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container without an entry in its passwd
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _where(error: BaseException) -> str:
    """An exception in one line, with the place of the user's code that raised it: all that is left of its traceback."""
    said = traceback.format_exception_only(error)[-1].splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"{said} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    others = (OURS, STANDARD, "<")
    theirs = [f for f in frames if not f.filename.startswith(others) and "site-packages" not in f.filename]
    return f"{said} ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else said

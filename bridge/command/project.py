"""Find what a command works on: the Celery app that the command line names, and an operator on it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from bridge.command.here import READY
from bridge.errors import ConfigurationError, UsageError
from bridge.settings.bridge import BridgeSettings

if TYPE_CHECKING:  # a command that only shows its help needs none of it
    from celery import Celery

    from bridge.operate.operator import Operator

LOCK_SECONDS = 10.0  # a person waits no longer than this for a lock


def named_app(name: str) -> Celery:
    """Find an app as `celery -A NAME` does.

    Raises:
        UsageError: there is no such module, no app in it, or it can't be imported.
    """
    from celery import Celery
    from celery.app.utils import find_app

    from bridge.app import ready_app
    from bridge.operate.registering import where_it_failed

    if name == READY:
        return ready_app()  # it is as that one, without what only its workers and its beat need
    try:
        found = find_app(name)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise UsageError(
            f"app {name!r} can't be loaded: {where_it_failed(error)}: name a module that can be imported from here, "
            "or module:attribute, as celery -A does"
        ) from error
    if not isinstance(found, Celery):
        raise UsageError(
            f"{name!r} is no Celery app but {type(found).__name__}: name the app as module:attribute, as celery -A does"
        )
    return found


def operator_here(ctx: click.Context) -> Operator:
    """Return an operator on the app that the command line names; it connects with its first verb.

    Raises:
        ConfigurationError: the app's configuration can't be read.
    """
    from celery.exceptions import ImproperlyConfigured

    from bridge.operate.operator import Operator
    from bridge.operate.registering import name_of, where_it_failed

    app = ctx.obj.app
    try:
        app.conf.get("broker_url")  # Celery reads its configuration when it is first asked
    except (ImproperlyConfigured, ImportError, SyntaxError) as error:
        raise ConfigurationError(
            f"the configuration of app {name_of(app)!r} can't be read: {where_it_failed(error)}"
        ) from error
    _set_up_django(app)
    operator = ctx.with_resource(Operator(app))
    operator.lock_seconds = LOCK_SECONDS
    return operator


def _set_up_django(app: Celery) -> None:
    """Load the apps of a Django project, as manage.py does: the database may be one of its `DATABASES`.

    Raises:
        ConfigurationError: one of them can't be loaded.
    """
    # Celery's own fix-up has imported Django's settings, if this is an app of a Django project.
    if "django.conf" not in sys.modules or not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    if BridgeSettings.read(app.conf, os.environ).database_url:
        return
    import django

    from bridge.operate.registering import where_it_failed

    try:
        django.setup()
    except Exception as error:  # a project's modules may raise anything while they are imported
        raise ConfigurationError(f"the Django project can't be loaded: {where_it_failed(error)}") from error

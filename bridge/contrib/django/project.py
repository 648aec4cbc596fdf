"""The project's Celery app: the one that `BRIDGE_APP` names, else the one beside the project's settings."""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

from bridge.broker.internals.workers import real_app
from bridge.errors import ConfigurationError, UsageError


def celery_app() -> Celery:
    """Return the project's Celery app.

    Raises:
        ConfigurationError: there is none, or it can't be imported.
    """
    from bridge.command.project import named_app  # the command line, which a web process need not load to start

    named = getattr(settings, "BRIDGE_APP", None)
    if isinstance(named, Celery):
        return real_app(named)
    name = named or _beside_the_settings()
    try:
        return real_app(named_app(name))
    except UsageError as error:
        where = "BRIDGE_APP" if named else "BRIDGE_APP is not set, and beside the settings"
        raise ConfigurationError(
            f"no Celery app is found ({where}: {error}): make one in the package of the settings, "
            "as Celery's guide for Django says, or name it: BRIDGE_APP = 'shop.celery:app'"
        ) from error


def _beside_the_settings() -> str:
    """Return the package of the settings module, such as `shop` for `shop.settings`."""
    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE", "")
    return str(module).split(".", maxsplit=1)[0] or "bridge.celery"

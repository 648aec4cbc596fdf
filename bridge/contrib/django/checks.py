"""System checks: what a Django project gets wrong before anything runs. None of them asks a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import psycopg
from celery import Celery
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from bridge.broker.transports import broker_is_set
from bridge.contrib.django import driver
from bridge.contrib.django.database import address_of, alias, database_url, vendor
from bridge.contrib.django.project import celery_app
from bridge.errors import ConfigurationError
from bridge.settings.address import read_address
from bridge.settings.bridge import PREFIX, SETTINGS, BridgeSettings
from bridge.worker.start_check import StartCheck

TAG = "event_bridge"
NAMESPACE = "CELERY_"
SHORTEST_SECRET = 16  # characters
OWN = ("BRIDGE_DATABASE", "BRIDGE_APP", "BRIDGE_DRIVER")
NAMESPACED = 'app.config_from_object("django.conf:settings", namespace="CELERY")'


def register() -> None:
    """Give the checks to Django."""
    checks.register(check_project, TAG)
    checks.register(check_driver, TAG)
    checks.register(check_secret, TAG, deploy=True)


def check_driver(**_: Any) -> Sequence[checks.CheckMessage]:
    """Find that Django runs on another driver than the project wants, or that nobody said which."""
    try:
        wanted = driver.asked_for()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id=f"{TAG}.E001")]
    if wanted is not None and driver.in_use() not in (None, wanted):
        return [
            checks.Error(
                f"BRIDGE_DRIVER is {wanted!r}, but Django has taken {driver.in_use()} already",
                hint="put 'bridge.contrib.django' first into INSTALLED_APPS, and import no models in the settings",
                id=f"{TAG}.E002",
            )
        ]
    if driver.is_open() and any(vendor(name) == "postgresql" for name in connections):
        return [
            checks.Error(
                "both psycopg2 and psycopg 3 are installed, and Django takes psycopg 3, which the bridge has brought",
                hint="say which one the project runs on: BRIDGE_DRIVER = 'psycopg2', or BRIDGE_DRIVER = 'psycopg'",
                id=f"{TAG}.E003",
            )
        ]
    return []


def check_project(**_: Any) -> Sequence[checks.CheckMessage]:
    """Find what is wrong with the Celery app, the settings and the database."""
    try:
        app = celery_app()
        conf: Any = app.conf
        conf.get("broker_url")  # Celery reads its configuration when it is first asked
    except Exception as error:  # a project's modules may raise anything while they are imported
        return [checks.Error(_bounded(error), id=f"{TAG}.E004")]
    found = [*_names(conf)]
    try:
        own = BridgeSettings.read(conf, os.environ)
    except ConfigurationError as error:
        return [*found, checks.Error(_bounded(error), id=f"{TAG}.E005")]
    return [*found, *_database(own.database_url), *_app(app)]


def check_secret(**_: Any) -> Sequence[checks.CheckMessage]:
    """Find a secret that could be guessed; without one the database keeps a random one."""
    try:
        secret = BridgeSettings.read(celery_app().conf, os.environ).secret
    except Exception:  # check_project says what is wrong
        return []
    if secret and len(secret) < SHORTEST_SECRET:
        hint = "set 50 random characters, or nothing: then the database keeps a random one"
        return [checks.Warning("CELERY_BRIDGE_SECRET is so short that it can be guessed", hint=hint, id=f"{TAG}.W001")]
    return []


def _names(conf: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    """Find settings that Celery does not read: of another namespace, or of a wrong name."""
    for name in sorted(name for name in dir(settings) if name.startswith((NAMESPACE + "BRIDGE_", "BRIDGE_"))):
        setting = name.removeprefix(NAMESPACE).removeprefix("BRIDGE_").lower()
        if not name.startswith(NAMESPACE):
            if name not in OWN and setting in SETTINGS:
                yield checks.Error(f"{name} is not read", hint=f"write {NAMESPACE}{name}", id=f"{TAG}.E006")
        elif setting not in SETTINGS:
            near = get_close_matches(setting, SETTINGS, 1)
            listed = "`manage.py bridge about settings` lists those that there are, in small letters"
            hint = f"did you mean {NAMESPACE}BRIDGE_{near[0].upper()}?" if near else listed
            yield checks.Warning(f"{name} is no setting of the bridge", hint=hint, id=f"{TAG}.W002")
        elif conf.get(PREFIX + setting) is None and getattr(settings, name) is not None:
            yield checks.Error(f"{name} does not reach Celery", hint=f"write {NAMESPACED}", id=f"{TAG}.E007")


def _database(url: str) -> Iterator[checks.CheckMessage]:
    """Find that there is no Postgres, or that Django and the bridge use two databases."""
    name = alias()
    if not url:
        try:
            if not database_url():
                raise ConfigurationError("BRIDGE_DATABASE is None, and CELERY_BRIDGE_DATABASE_URL is not set")
        except ConfigurationError as error:
            yield checks.Error(_bounded(error), id=f"{TAG}.E008")
        return
    try:
        read_address(url)
    except ConfigurationError as error:
        yield checks.Error(_bounded(error), id=f"{TAG}.E008")
        return
    if name is not None and vendor(name) == "postgresql":
        ours, theirs = _name_in(url), _name_in(address_of(connections[name].settings_dict))
        if ours != theirs:
            yield checks.Warning(
                f"CELERY_BRIDGE_DATABASE_URL names database {ours!r}, and DATABASES[{name!r}] {theirs!r}: what is "
                "published on Django's connection goes to a log that the bridge does not read",
                hint="leave CELERY_BRIDGE_DATABASE_URL out, or set BRIDGE_DATABASE to the alias of the log, or to None",
                id=f"{TAG}.W003",
            )


def _app(app: Celery) -> Iterator[checks.CheckMessage]:
    """Find an app that would not reach the broker that is meant, or that does not know the bridge."""
    if not broker_is_set(app):
        hint = "set CELERY_BROKER_URL; without it Celery takes a RabbitMQ on this machine"
        yield checks.Warning("no broker is set", hint=hint, id=f"{TAG}.W004")
    if StartCheck not in app.steps["worker"]:
        hint = "call bridge.install(app) where the app is made; if a bridge runs elsewhere, silence this check"
        yield checks.Warning("the Celery app has no bridge in it", hint=hint, id=f"{TAG}.W005")


def _name_in(url: str) -> str:
    """Return the database's name in an address; empty where it has none."""
    address = read_address(url)
    try:
        return str({**address.plain, **address.options}.get("dbname") or conninfo_to_dict(url).get("dbname") or "")
    except psycopg.Error:
        return ""


def _bounded(error: Exception) -> str:
    return str(error)[:1000]

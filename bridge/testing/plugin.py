"""The pytest plugin: `pytest_plugins = ["bridge.testing.plugin"]` in the root `conftest.py`.

It is not loaded by itself (decision 49). A project overrides the fixtures that find things: `bridge_app`,
`bridge_database_url`, `bridge_connection`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery, current_app

from bridge.app import bridge_of
from bridge.broker.internals.workers import real_app
from bridge.errors import InvalidTarget
from bridge.store import Store
from bridge.store.callers import run_on, way_of
from bridge.store.migrate import migrate
from bridge.testing.published import Published
from bridge.testing.recording import LAST_DRAWN, Recording


def _is_django() -> bool:
    """Tell whether this is the test run of a Django project that has the bridge among its apps."""
    if "django.apps" not in sys.modules:
        return False
    from django.apps import apps

    return bool(apps.ready and apps.is_installed("bridge.contrib.django"))


def _djangos_connection() -> Any:
    """Return Django's connection to the log; None where there is no Django, or the log is in none of its databases."""
    if not _is_django():
        return None
    from django.db import connections

    from bridge.contrib.django.database import alias

    name = alias()
    return None if name is None else connections[name]


@pytest.fixture(scope="session")
def bridge_app() -> Celery:
    """Return the Celery app whose declared clients get events; override it where it is not the current app."""
    if _is_django():
        from bridge.contrib.django.project import celery_app

        return celery_app()
    return real_app(current_app)


@pytest.fixture(scope="session")
def bridge_database_url(bridge_app: Celery) -> str:
    """Return the URL of the test database; override it where the app's settings name another one."""
    return bridge_of(bridge_app).settings.need_database_url()


@pytest.fixture(scope="session")
def bridge_schema(bridge_database_url: str) -> None:
    """Make the schema in the test database, or bring it up to date; a Django project's own migrations do that."""
    store = Store(bridge_database_url)
    try:
        migrate(store.engine)
    finally:
        store.close()


@pytest.fixture
def bridge_connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give what the test publishes on: Django's connection, else one of its own, which sees what is committed.

    Override it where a test rolls back: return the connection or session that is in the test's transaction.
    """
    if (djangos := _djangos_connection()) is not None:
        if request.config.pluginmanager.has_plugin("django"):
            request.getfixturevalue("db")
        yield djangos
        return
    request.getfixturevalue("bridge_schema")
    with psycopg.connect(request.getfixturevalue("bridge_database_url"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def bridge_recording(request: pytest.FixtureRequest, bridge_connection: Any, bridge_app: Celery) -> Recording:
    """Record what is published from the beginning of the test on."""
    try:
        way_of(bridge_connection, asynchronous=True)
    except InvalidTarget:
        return Recording(bridge_connection, bridge_app)
    # The last offset that was drawn is the same for every connection, so this one need not be awaited.
    with psycopg.connect(request.getfixturevalue("bridge_database_url"), autocommit=True) as beside:
        return Recording(bridge_connection, bridge_app, after=int(run_on(beside, LAST_DRAWN, {})[0][0]))


@pytest.fixture
def published(bridge_recording: Recording) -> Published:
    """Return what was published in this test so far: a sequence that looks each time."""
    return Published(bridge_recording)


@pytest.fixture
def deliver_eagerly(bridge_recording: Recording) -> Callable[..., Any]:
    """Call the handlers with what was published, see `Recording.deliver_eagerly`."""
    return bridge_recording.deliver_eagerly


@pytest.fixture
def adeliver_eagerly(bridge_recording: Recording) -> Callable[..., Any]:
    """Do the same with `await`, where `bridge_connection` is asynchronous."""
    return bridge_recording.adeliver_eagerly

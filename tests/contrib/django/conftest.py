"""A Django project inside pytest's process, on a database of each module's own, which `migrate` has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from celery import Celery
from django.conf import settings as django_settings
from django.core.management import call_command

from bridge import install
from bridge.app import bridge_of
from bridge.calling import DJANGOS, NEUTRAL, call_commands
from bridge.settings.database import find_database_by
from tests.support.databases import Databases

app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
install(app)

SETTINGS: dict[str, Any] = {
    "SECRET_KEY": "of no worth",
    "USE_TZ": True,
    "ROOT_URLCONF": "tests.contrib.django.urls",
    "ALLOWED_HOSTS": ["testserver"],
    "INSTALLED_APPS": [
        "bridge.contrib.django",
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    "STATIC_URL": "/static/",
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "BRIDGE_DRIVER": "psycopg",
    "BRIDGE_APP": app,
}


def database(url: str) -> dict[str, Any]:
    """A URL as one of Django's `DATABASES`."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": str(parts.port),
    }


@pytest.fixture(scope="session")
def _configured() -> None:
    import django

    django_settings.configure(**SETTINGS, DATABASES={"default": database("postgresql://nobody@127.0.0.1:1/nothing")})
    django.setup()
    call_commands(NEUTRAL)  # the other tests of this process are in no project of Django's


@pytest.fixture(scope="module")
def project(_configured: None, _databases: Databases) -> Iterator[str]:
    """The URL of the database that `manage.py migrate` has made for the tests of a module."""
    from django.db import connections

    from bridge.contrib.django.database import database_url

    with _databases.empty() as url:
        connections["default"].settings_dict.update(database(url))
        find_database_by(database_url)
        call_command("migrate", verbosity=0)
        call_commands(DJANGOS)
        yield url
        call_commands(NEUTRAL)
        connections.close_all()
        bridge_of(app).store.close()
        find_database_by(lambda: "")


@pytest.fixture
def set_(_configured: None) -> Iterator[Callable[..., None]]:
    """Change settings of Django, until the test is over."""
    from django.test import override_settings

    changes: list[Any] = []

    def change(**values: Any) -> None:
        changes.append(override_settings(**values))
        changes[-1].enable()

    yield change
    for each in reversed(changes):
        each.disable()

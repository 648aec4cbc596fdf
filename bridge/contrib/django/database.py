"""The bridge's database, taken from `DATABASES`: as it is at this moment, because tests put another one there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.errors import ConfigurationError

DEFAULT_ALIAS = "default"
VARIABLE = "BRIDGE_DATABASE_URL"
PLACE = {"host": "localhost", "port": "5432", "dbname": ""}  # with what libpq takes where nothing is said
TAKEN = ("NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")

_last: list[tuple[dict[str, Any], str]] = []  # what the address was made of when it was last asked for, and the address


def alias() -> str | None:
    """Return the alias in `DATABASES` that holds the log; None where no database of Django's does."""
    return getattr(settings, "BRIDGE_DATABASE", DEFAULT_ALIAS)


def vendor(name: str) -> str:
    """Return what kind of database an alias names, such as `postgresql`; empty where there is no such alias."""
    try:
        return str(connections[name].vendor)
    except ConnectionDoesNotExist:
        return ""


def database_url() -> str:
    """Return the address of the database that holds the log, as libpq reads it; empty where none of Django's does.

    Raises:
        ConfigurationError: there is no such alias, or it is no Postgres.
    """
    name = alias()
    if name is None:
        return ""
    kind = vendor(name)
    if kind != "postgresql":
        what = f"is {kind}" if kind else "does not exist"
        raise ConfigurationError(
            f"DATABASES[{name!r}] {what}, and the log is in Postgres: set BRIDGE_DATABASE to the alias of one, "
            "or CELERY_BRIDGE_DATABASE_URL"
        )
    database = connections[name].settings_dict
    taken = {part: dict(value) if isinstance(value := database.get(part), dict) else value for part in TAKEN}
    if not _last or _last[0][0] != taken:  # libpq takes a tenth of a millisecond to make it, and it is asked for often
        _last[:] = [(taken, address_of(taken))]
    return _last[0][1]


def overruled() -> str:
    """Say that a variable of the environment names another database than Django does; nothing where it does not."""
    named, name = os.environ.get(VARIABLE, ""), alias()
    if not named or name is None or vendor(name) != "postgresql":
        return ""
    try:
        ours = conninfo_to_dict(re.sub(r"^postgres(?:ql)?\+\w+:", "postgresql:", named.strip()))
    except psycopg.Error:  # what is wrong with it is said by who needs it
        return ""
    theirs = conninfo_to_dict(address_of(connections[name].settings_dict))
    differ = [part for part in PLACE if str(ours.get(part) or PLACE[part]) != str(theirs.get(part) or PLACE[part])]
    if not differ:
        return ""
    return (
        f"{VARIABLE} in the environment wins over DATABASES[{name!r}], and names another {' and '.join(differ)}: "
        "unset it to work on Django's database"
    )


def address_of(database: Mapping[str, Any]) -> str:
    """Return the address of one of `DATABASES`, as keywords and values of libpq; Django's own options are left out.

    Args:
        database: Its settings; `NAME` is that of the test database while tests run.
    """
    given = database.get("OPTIONS") or {}
    parts = {name: value for name, value in given.items() if name in _keywords() and value is not None}
    if role := given.get("assume_role"):
        parts["options"] = f"{parts.get('options', '')} -c role={_escaped(str(role))}".strip()
    named = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parts |= {keyword: str(database[name]) for name, keyword in named.items() if database.get(name)}
    return make_conninfo(**parts)


@cache
def _keywords() -> frozenset[str]:
    """Return the names of all options that libpq takes."""
    return frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())


def _escaped(text: str) -> str:
    """Return a value as it stands in libpq's `options`, which end at a space."""
    return text.replace("\\", "\\\\").replace(" ", "\\ ")

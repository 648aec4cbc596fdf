"""Run a statement on what the caller brought, in the transaction that it is in.

Its class tells by its module which driver it is of, so no driver is imported that the caller does not use.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from bridge.errors import InvalidTarget
from bridge.store.callers.way import Binds, Rows, Target, Way

FAMILIES = ("psycopg", "psycopg2", "asyncpg", "sqlalchemy", "django")  # packages; each has a module by_… here
TAKEN = (
    "a connection or cursor of psycopg or psycopg2, a connection, session or scoped session of SQLAlchemy, or "
    "django.db.connection; with bridge.apublish an asynchronous one of psycopg or SQLAlchemy, or a connection of "
    "asyncpg"
)


def run_on(target: object, name: str, binds: Binds) -> Rows:
    """Run a statement on the caller's connection, in the transaction that it is in, and return its rows.

    Raises:
        InvalidTarget: it is of another kind, or asynchronous; nothing was sent.
    """
    rows: Rows = way_of(target).run(target, name, binds)
    return rows


async def arun_on(target: object, name: str, binds: Binds) -> Rows:
    """Run a statement on the caller's asynchronous connection likewise.

    Raises:
        InvalidTarget: it is of another kind, or not asynchronous; nothing was sent.
    """
    rows: Rows = await way_of(target, asynchronous=True).run(target, name, binds)
    return rows


def way_of(target: object, *, asynchronous: bool = False) -> Way:
    """Return how statements are run on this.

    Raises:
        InvalidTarget: it is no connection that the bridge knows, or is asynchronous and should not be, or vice versa.
    """
    cls: Any = type(target)
    way = _way_of(cls)
    if way is not None and way.asynchronous is asynchronous:
        return way
    called = f"{cls.__module__}.{cls.__qualname__}"[:200]
    if way is None:
        pooled = any(word in cls.__name__.lower() for word in ("pool", "engine", "sessionmaker", "session_maker"))
        raise InvalidTarget(
            f"can't run on a {called}"
            + (", which has no transaction of yours: take a connection from it, and " if pooled else ": ")
            + f"pass {TAKEN}"
        )
    if way.asynchronous:
        raise InvalidTarget(f"a {called} is asynchronous: use `await bridge.apublish(…)`")
    raise InvalidTarget(f"a {called} is not asynchronous: use `bridge.publish(…)` without await")


def is_djangos(target: object) -> bool:
    """Tell whether this is a connection of Django's, `django.db.connection` too; Django need not be installed."""
    djangos = any(base.__module__.partition(".")[0] == "django" for base in type(target).__mro__)
    return djangos and hasattr(target, "get_autocommit")


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error of any driver, also of one that SQLAlchemy or Django has wrapped."""
    while error is not None:
        if found := getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or _said_by_pg8000(error):
            return str(found)
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def _said_by_pg8000(error: BaseException) -> object:
    said = error.args[0] if error.args else None
    return said.get("C") if isinstance(said, dict) else None


@lru_cache(maxsize=256)
def _way_of(cls: type) -> Way | None:
    """Return how statements are run on objects of a class. The answer is remembered."""
    for base in cls.__mro__:
        family = base.__module__.partition(".")[0]
        if family in FAMILIES:
            way: Way | None = import_module(f"{__name__}.by_{family}").way_of(cls)
            return way
    return None


__all__ = ["Rows", "Target", "Way", "arun_on", "is_djangos", "run_on", "sqlstate_of", "way_of"]

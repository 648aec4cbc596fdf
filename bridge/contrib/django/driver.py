"""Keep Django on psycopg2 where a project asks for it.

Django takes psycopg 3 as soon as that can be imported, and the bridge brings it along. The two differ: in types, in
what `IN` takes, in bound parameters of DDL. So a project that runs on psycopg2 has to be able to stay there. Django
decides once, when it imports its Postgres backend. Here that import happens while psycopg can't be found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DRIVERS = ("psycopg2", "psycopg")
DECIDES = "django.db.backends.postgresql.psycopg_any"
BACKEND = "django.db.backends.postgresql.base"


def asked_for() -> str | None:
    """Return the driver that the project asks for by `BRIDGE_DRIVER`; None if it does not say.

    Raises:
        ImproperlyConfigured: it is none that Django has, or not installed.
    """
    driver: str | None = getattr(settings, "BRIDGE_DRIVER", None)
    if driver is None:
        return None
    if driver not in DRIVERS:
        raise ImproperlyConfigured(
            f"BRIDGE_DRIVER is {driver!r}: it is one of {', '.join(map(repr, DRIVERS))}, or None"
        )
    if find_spec(driver) is None:
        raise ImproperlyConfigured(f"BRIDGE_DRIVER is {driver!r}, which is not installed here: pip install {driver}")
    return driver


def keep() -> None:
    """Let Django take psycopg2 if the project asks for it; without a word of the project's nothing is changed."""
    if asked_for() == "psycopg2" and DECIDES not in sys.modules and BACKEND not in sys.modules:
        with _hidden("psycopg"):
            import_module(BACKEND)


def in_use() -> str | None:
    """Return the driver that Django has taken in this process; None as long as it has taken none."""
    decided = sys.modules.get(DECIDES)
    return None if decided is None else DRIVERS[bool(decided.is_psycopg3)]


def is_open() -> bool:
    """Tell whether both drivers are installed and the project does not say which one it wants."""
    return asked_for() is None and all(find_spec(driver) is not None for driver in DRIVERS)


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Let an import of this module fail for a moment; who has imported it keeps it."""
    kept = {name: found for name, found in sys.modules.items() if name == module}
    sys.modules[module] = None  # type: ignore[assignment] # what the import system looks for
    try:
        yield
    finally:
        del sys.modules[module]
        sys.modules.update(kept)

"""Where the database's URL comes from when no setting says it: a framework that has databases of its own may know.

It is asked each time, because a framework's tests put another database in the place of the real one.
"""

from __future__ import annotations

from collections.abc import Callable

_finders: list[Callable[[], str]] = []


def find_database_by(finder: Callable[[], str]) -> None:
    """Ask this function where no `bridge_database_url` is set; it returns nothing if it knows none."""
    _finders[:] = [finder]


def found_database_url() -> str:
    """Return the URL that the framework knows of; empty if there is no framework, or it knows none."""
    return next((url for finder in _finders if (url := finder())), "")

"""How a statement is run on what a caller brought: one `Way` for each kind of connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

Binds: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Sequence[Any]


class Way(NamedTuple):
    """How a statement is run on one kind of connection, cursor or session.

    Attributes:
        run: Runs a statement by its name, with its binds, and returns the rows; where it is asynchronous, a coroutine
            that does.
        autocommits: Tells whether each statement commits by itself; where it is asynchronous, a coroutine that does.
        asynchronous: Whether both have to be awaited.
    """

    run: Callable[[Any, str, Binds], Any]
    autocommits: Callable[[Any], Any]
    asynchronous: bool = False


class HasCursor(Protocol):
    """A connection of psycopg, psycopg2 or Django, as far as a type checker can tell without any of them."""

    @property
    def cursor(self) -> Any:
        """Make a cursor."""


class HasExecute(Protocol):
    """A cursor, a connection of SQLAlchemy or asyncpg, or a session, likewise."""

    @property
    def execute(self) -> Any:
        """Run a statement."""


class HasAnything(Protocol):
    """A proxy, such as django.db.connection, likewise."""

    def __getattr__(self, name: str) -> Any: ...


Target: TypeAlias = HasCursor | HasExecute | HasAnything

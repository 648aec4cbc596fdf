"""The SQL of rehearsing: to learn what a commit would be refused for, without it."""

from __future__ import annotations

from sqlalchemy import Connection

from bridge.sql import statement


def check_constraints(connection: Connection) -> None:
    """Check what this transaction has done as its commit would."""
    connection.execute(statement("pass/check_constraints"))

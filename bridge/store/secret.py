"""The SQL of the key that signs callbacks where no setting names one."""

from __future__ import annotations

from bridge.sql import statement
from bridge.store.connect import Store


def read_secret(store: Store) -> str:
    """Read the key that the database keeps."""
    with store.reading() as connection:
        return str(connection.execute(statement("boot/secret")).scalar_one())

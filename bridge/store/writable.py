"""Ask Postgres whether it takes writes, before anything is taken from a broker that could then not be settled."""

from __future__ import annotations

from bridge.errors import StoreUnavailable
from bridge.sql import statement
from bridge.store.connect import Store


def check_writable(store: Store) -> None:
    """Check that a transaction may write.

    Raises:
        StoreUnavailable: Postgres is away, or is a standby or read-only for now, as during a failover.
    """
    with store.transaction() as connection:
        if not connection.execute(statement("boot/is_writable")).scalar_one():
            raise StoreUnavailable("Postgres is not available: it is read-only")

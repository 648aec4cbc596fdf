"""The SQL of what is told of a failed attempt after its outcome was settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bridge.model import Attempt, Failure
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.failures import kept_json
from bridge.store.outcomes import lock_free_clients


class ToldFailure(NamedTuple):
    """Why an attempt failed, as it was told after the attempt's outcome."""

    attempt: Attempt
    failure: Failure


def tell_failures(
    store: Store, told: Sequence[ToldFailure], *, lock_seconds: float
) -> tuple[set[tuple[str, int]], set[str]]:
    """Fill in why attempts failed that are settled, as far as that is not known.

    Args:
        store: The event log and its clients.
        told: Of each client and offset one at most.
        lock_seconds: How long to wait for a lock. Clients that another transaction holds are left out.

    Returns:
        Client and offset of those that were filled in; the clients that were left out.

    Raises:
        StoreUnavailable: nothing is filled in.
    """
    with store.transaction(vouched=True) as connection:
        _, held = lock_free_clients(connection, {it.attempt.client for it in told}, lock_seconds=lock_seconds)
        free = [it for it in told if it.attempt.client not in held]
        rows = connection.execute(statement("outcomes/tell_failures"), _binds(free)) if free else ()
        return {(client, offset) for client, offset in rows}, held


def _binds(told: Sequence[ToldFailure]) -> dict[str, Any]:
    return {
        "clients": [it.attempt.client for it in told],
        "offsets": [it.attempt.offset for it in told],
        "epochs": [it.attempt.epoch for it in told],
        "attempts": [it.attempt.attempt for it in told],
        "error_types": [it.failure.type for it in told],
        "errors": [it.failure.message for it in told],
        "tracebacks": [it.failure.traceback for it in told],
        "failures": [kept_json(it.failure) for it in told],
    }

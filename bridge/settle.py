"""Settling: what callbacks report becomes finished, retried or parked deliveries, and cursors move.

One transaction per batch, whatever the order, number or age of the outcomes: a success of any attempt of this epoch
finishes the event; a failure counts only for the attempt that is out; everything else changes nothing. The caller tells
the broker that a batch is done only after this returned, so a crash settles it again, which is harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.model import Failure, Outcome
from bridge.policy import backoff
from bridge.store import Store, outcomes
from bridge.store.outcomes import Exhausted, Retry, RetryPolicy


class Settled(NamedTuple):
    """What a batch of outcomes came to, in events; `ignored` were late, repeated or about nothing."""

    succeeded: int = 0
    retried: int = 0
    parked: int = 0
    ignored: int = 0


def settle(store: Store, batch: Sequence[Outcome]) -> Settled:
    """Apply a batch of outcomes and move the cursors of its clients.

    Raises:
        StoreUnavailable: nothing is settled; settle the same batch again.
    """
    if not batch:
        return Settled()
    with store.transaction() as connection:
        policies = outcomes.lock_clients(connection, {outcome.client for outcome in batch})
        known = [outcome for outcome in batch if outcome.client in policies]
        # Successes first: COMMIT wins over FAIL of the same attempt, and then there is nothing left to fail.
        finished = outcomes.succeed(connection, [outcome for outcome in known if outcome.failure is None])
        retried, parked = _fail(connection, policies, [outcome for outcome in known if outcome.failure is not None])
        touched = Counter(finished) + Counter()
        outcomes.move_cursors(connection, {client: touched[client] for client in policies})
    succeeded = sum(finished.values())
    return Settled(succeeded, retried, parked, max(0, len(batch) - succeeded - retried - parked))


def _fail(connection: Connection, policies: dict[str, RetryPolicy], failures: Sequence[Outcome]) -> tuple[int, int]:
    """Retry what has attempts left and park the rest; how many of each."""
    if not failures:
        return 0, 0
    why = {(outcome.client, outcome.offset): outcome.failure or Failure() for outcome in failures}
    retries: list[Retry] = []
    exhausted: list[Exhausted] = []
    for delivery in dict.fromkeys(outcomes.failing(connection, failures)):  # a hard time limit reports twice
        policy, failure = policies[delivery.client], why[delivery.client, delivery.offset]
        if delivery.tries < policy.max_attempts:
            seconds = backoff(
                delivery.tries, base_seconds=policy.backoff_seconds, max_seconds=policy.backoff_max_seconds
            )
            retries.append(Retry(delivery.client, delivery.offset, seconds, failure))
        else:
            reason = f"failed {delivery.tries} times"
            exhausted.append(Exhausted(delivery.client, delivery.offset, reason, failure, policy.on_exhausted))
    if retries:
        outcomes.retry_later(connection, retries)
    return len(retries), outcomes.give_up(connection, exhausted)

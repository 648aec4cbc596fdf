"""Settling: what callbacks report becomes finished, retried or parked deliveries, and cursors move.

One transaction per batch, whatever the order, number or age of the outcomes: a success of any attempt of this epoch
finishes the event; a failure counts only for the attempt that is out; everything else changes nothing. The caller tells
the broker that a batch is done only after this returned, so a crash settles it again, which is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from sqlalchemy import Connection

from bridge.model import Failure, Outcome
from bridge.settle.policy import backoff, verdict
from bridge.store import Store, outcomes
from bridge.store.outcomes import Exhausted, Failing, Part, Retry, RetryPolicy
from bridge.wording import counted


class Settled(NamedTuple):
    """What a batch of outcomes came to, in events; `ignored` were late, repeated or about nothing."""

    succeeded: int = 0
    retried: int = 0
    parked: int = 0
    ignored: int = 0

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        """What both came to together."""
        return type(self)(*map(sum, zip(self, other, strict=True)))


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
        failures = [outcome for outcome in known if outcome.failure is not None]
        succeeded = [outcome for outcome in known if outcome.failure is None]
        if failures:  # of a batch, say, in which another event failed
            succeeded += outcomes.effected(connection, failures)
        # Successes first: COMMIT wins over FAIL of the same attempt, and then there is nothing left to fail.
        finished = outcomes.succeed(connection, succeeded)
        retried, parked = _fail(connection, policies, failures)
        failed = {failure.client for failure in failures}
        outcomes.move_cursors(connection, {client: finished.get(client, 0) for client in policies}, failed=failed)
    total = sum(finished.values())
    return Settled(total, retried, parked, max(0, len(batch) - total - retried - parked))


def _fail(connection: Connection, policies: dict[str, RetryPolicy], failures: Sequence[Outcome]) -> tuple[int, int]:
    """Retry what has attempts left and park the rest; how many of each."""
    if not failures:
        return 0, 0
    about = {(outcome.client, outcome.offset): outcome for outcome in failures}
    found = dict.fromkeys(outcomes.failing(connection, failures))  # a hard time limit reports twice
    alone = [delivery for delivery in found if not about[delivery.client, delivery.offset].batch_offsets]
    split = _split(
        connection, [delivery for delivery in found if about[delivery.client, delivery.offset].batch_offsets], about
    )
    retries: list[Retry] = []
    exhausted: list[Exhausted] = []
    for delivery in alone:
        policy = policies[delivery.client]
        failure = about[delivery.client, delivery.offset].failure or Failure()
        if delivery.tries < policy.max_attempts:
            seconds = backoff(
                delivery.tries, base_seconds=policy.backoff_seconds, max_seconds=policy.backoff_max_seconds
            )
            retries.append(Retry(delivery.client, delivery.offset, seconds, failure))
        else:
            reason = f"failed {counted(delivery.tries, 'time')}"
            exhausted.append(
                Exhausted(
                    delivery.client, delivery.offset, reason, failure, verdict(policy.on_exhausted, policy.ordering)
                )
            )
    if retries:
        outcomes.retry_later(connection, retries)
    return split + len(retries), outcomes.give_up(connection, exhausted)


def _split(connection: Connection, deliveries: Sequence[Failing], about: Mapping[tuple[str, int], Outcome]) -> int:
    """Let each half of a batch that failed go out by itself, at once, until the poison is alone; how many events that is.

    It does not count as an attempt: nobody knows yet whose failure it was.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[Failing]] = {}
    for delivery in deliveries:
        groups.setdefault((delivery.client, about[delivery.client, delivery.offset].batch_offsets), []).append(delivery)
    parts: list[Part] = []
    for group in groups.values():
        group.sort(key=lambda delivery: delivery.offset)
        middle = (len(group) + 1) // 2
        for half in (group[:middle], group[middle:]):
            parts += [Part(delivery.client, delivery.offset, half[0].offset) for delivery in half]
    if parts:
        outcomes.split(connection, parts)
    return len(parts)

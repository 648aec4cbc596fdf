"""Settle outcomes: deliveries finish, are retried or are parked, and cursors move.

Outcomes that are reported together are settled in one transaction, whatever their order, number or age. A success of
this epoch finishes the event, whether it is of the recorded attempt or of an earlier one. A failure counts only for the
recorded attempt while that is out. Everything else changes nothing, and nothing does what was handed over in another
generation of the log: its offsets may name other events now. That is compared while the clients are locked, and no
generation begins then. The caller tells the broker that outcomes are settled only after this has returned,
so after a crash they are settled again, which does no harm.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Self

from sqlalchemy import Connection

from bridge.happened import Happening, after_commit, tell
from bridge.model import Failure, Outcome, task_id
from bridge.settle.policy import backoff, halves
from bridge.store import Store, outcomes
from bridge.store.durations import timed
from bridge.store.outcomes import Exhausted, Failing, Retry, RetryPolicy, Split
from bridge.trouble import Tally
from bridge.wording import counted

_outdated = Tally(logging.getLogger("bridge"))


class Settled(NamedTuple):
    """How many outcomes finished an event, had it retried, had it parked, or did none of these.

    Attributes:
        ignored: The last kind: late, repeated or about no delivery, or the failure for which its client is halted.
        outdated: Those among them that are of another generation of the log.
    """

    succeeded: int = 0
    retried: int = 0
    parked: int = 0
    ignored: int = 0
    outdated: int = 0

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        """Return what both came to together."""
        return type(self)(*map(sum, zip(self, other, strict=True)))


class Failed(NamedTuple):
    """How many deliveries failed and are retried or parked; `counts` is how many failed of each client, halts too."""

    retried: int
    parked: int
    counts: Counter[str]


NOTHING_FAILED = Failed(0, 0, Counter())


def settle(store: Store, reported: Sequence[Outcome], *, lock_seconds: float | None = None) -> Settled:
    """Apply outcomes, and move the cursors of their clients.

    Args:
        store: The event log and its clients.
        reported: In any order.
        lock_seconds: How long to wait for each lock; None for as long as the store waits.

    Raises:
        StoreUnavailable: nothing is settled; settle the same outcomes again.
    """
    if not reported:
        return Settled()
    with timed(store, "settle") as taken, store.transaction(vouched=True) as connection:
        clients = {outcome.client for outcome in reported}
        policies = outcomes.lock_clients(connection, clients, lock_seconds=lock_seconds)
        settled = _settle(connection, policies, reported)
    return _told(settled, taken.seconds)


def settle_free(store: Store, reported: Sequence[Outcome], *, lock_seconds: float) -> tuple[Settled, list[Outcome]]:
    """Do the same for the clients that no other transaction holds; return the outcomes of the others, too.

    Raises:
        StoreUnavailable: nothing is settled; settle the same outcomes again.
    """
    with timed(store, "settle") as taken, store.transaction(vouched=True) as connection:
        clients = {outcome.client for outcome in reported}
        free, held = outcomes.lock_free_clients(connection, clients, lock_seconds=lock_seconds)
        left = [outcome for outcome in reported if outcome.client in held]
        now = [outcome for outcome in reported if outcome.client not in held]
        settled = _settle(connection, free, now) if now else Settled()
    return (_told(settled, taken.seconds) if now else settled), left


def _told(settled: Settled, seconds: float) -> Settled:
    """Tell what a transaction settled that is committed, and return it."""
    succeeded, retried, parked, ignored, outdated = settled
    counts = {"retried": retried, "parked": parked, "ignored": ignored, "outdated": outdated}
    tell(Happening(kind="settled", number=succeeded, seconds=seconds, counts=counts))
    return settled


def _settle(connection: Connection, policies: dict[str, RetryPolicy], reported: Sequence[Outcome]) -> Settled:
    """Apply outcomes of clients that are locked; those of unknown clients are ignored."""
    known = [outcome for outcome in reported if outcome.client in policies]
    generation = next((policy.generation for policy in policies.values()), None)
    if others := [it for it in known if it.generation != generation and it.generation is not None]:
        _outdated.note(len(others), partial(_say_outdated, others[-1], generation))
        known = [it for it in known if it.generation == generation or it.generation is None]
    failures = [outcome for outcome in known if outcome.failure is not None]
    successes = [outcome for outcome in known if outcome.failure is None]
    if failures:  # another event of the batch failed, say, after this one's handler had committed
        successes += outcomes.effected(connection, failures)
    # Successes first: of the same attempt a success wins over a failure, which then finds nothing left to fail.
    succeeded = outcomes.succeed(connection, successes)
    retried, parked, counts = _fail(connection, policies, failures) if failures else NOTHING_FAILED
    total = sum(finished.number for finished in succeeded.values())
    duplicates = Counter[str]()
    if len(reported) > total + counts.total():  # every outcome of a client that ended no attempt changed nothing
        duplicates.update(outcome.client for outcome in reported)
        duplicates -= counts + Counter({client: finished.number for client, finished in succeeded.items()})
    outcomes.move_cursors(
        connection,
        {client: succeeded[client] for client in policies},
        failed={failure.client for failure in failures},
        failures=counts,
        duplicates=duplicates,
    )
    ignored = max(0, len(reported) - total - retried - parked)
    return Settled(total, retried, parked, ignored, len(others))


def _fail(connection: Connection, policies: dict[str, RetryPolicy], failures: Sequence[Outcome]) -> Failed:
    """Retry the deliveries with attempts left, and give up the others; return how many are retried and parked.

    A batch of several events is split instead, which counts as retried. Its attempts are counted from one again,
    because it is not known yet which event failed.
    """
    # By attempt: a late failure of an earlier attempt may be settled beside the one that counts.
    about = {(outcome.client, outcome.offset, outcome.epoch, outcome.attempt): outcome for outcome in failures}
    together: dict[tuple[str, tuple[int, ...]], list[Failing]] = {}
    batches: dict[tuple[str, tuple[int, ...]], Failure] = {}
    retries: list[Retry] = []
    exhausted: list[Exhausted] = []
    for delivery in dict.fromkeys(
        outcomes.failing(connection, failures)
    ):  # once each: Celery reports a hard time limit twice
        outcome = about[delivery.client, delivery.offset, delivery.epoch, delivery.attempt]
        policy = policies[delivery.client]
        failure = outcome.failure or Failure()
        if outcome.batch_offsets:
            together.setdefault((delivery.client, outcome.batch_offsets), []).append(delivery)
            batches[delivery.client, outcome.batch_offsets] = failure
        elif delivery.tries < policy.max_attempts:
            retries.append(Retry(delivery.client, delivery.offset, _wait_seconds(delivery, policy), failure))
        else:
            reason = f"failed {counted(delivery.tries, 'time')}"
            exhausted.append(Exhausted(delivery.client, delivery.offset, reason, failure, policy.verdict))
    splits = _splits(together, batches)
    outcomes.split(connection, splits)
    after_commit(connection.info, [_split(client, batch) for (client, _), batch in together.items()])
    outcomes.retry_later(connection, retries)
    counts = Counter(it.client for it in retries)
    counts.update(it.client for it in exhausted)
    counts.update(it.client for it in splits)
    return Failed(len(splits) + len(retries), outcomes.give_up(connection, exhausted), counts)


def _split(client: str, batch: Sequence[Failing]) -> Happening:
    """Say that a batch failed whose halves go out next."""
    first = min(batch, key=lambda it: it.offset)
    id = task_id(client, first.offset, first.epoch, first.attempt)
    reason = "its batch failed, and goes out again in halves"
    return Happening(
        kind="retried",
        client=client,
        offset=first.offset,
        attempt=first.attempt,
        task_id=id,
        reason=reason,
        number=len(batch),
        seconds=0.0,
    )


def _say_outdated(last: Outcome, generation: int | None, number: int) -> str:
    """Say that outcomes are of another generation: they are genuine, and change nothing."""
    ignored = counted(number, "outcome of another generation is ignored", "outcomes of another generation are ignored")
    return (
        f"{ignored}: event {last.offset} was handed over to client {last.client} in generation {last.generation}, "
        f"and the log is in generation {generation}"
    )


def _wait_seconds(delivery: Failing, policy: RetryPolicy) -> float:
    """Return how long a delivery waits for its next attempt."""
    return backoff(delivery.tries, base_seconds=policy.backoff_seconds, max_seconds=policy.backoff_max_seconds)


def _splits(
    together: Mapping[tuple[str, tuple[int, ...]], Sequence[Failing]],
    failures: Mapping[tuple[str, tuple[int, ...]], Failure],
) -> list[Split]:
    """Let each half of a batch that failed go out by itself, until the event at fault is alone."""
    return [
        Split(key[0], offset, part, failures[key])
        for key, batch in together.items()
        for offset, part in halves([delivery.offset for delivery in batch]).items()
    ]

"""Recall: a person says that messages are lost, and what is open goes out again; see `bridge.store.recall`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from celery import Celery

from bridge.bounds import REVOKED_TASKS
from bridge.store import Store
from bridge.store.held import hold_driven_client
from bridge.store.leases import forget_answers
from bridge.store.recall import Recalled, recall_open
from bridge.wording import said

logger = logging.getLogger("bridge")

REVOKE_SECONDS = 1.0  # for each answer of the broker: a person waits, and without it nothing is lost


def recall(
    app: Celery,
    store: Store,
    client: str,
    *,
    keys: Sequence[str] = (),
    offsets: Sequence[int] = (),
    reason: str,
    by: str,
) -> Recalled:
    """Let a client's open deliveries go out again with the next pass; no attempt is counted.

    Workers are asked to drop the messages that are replaced, in case that these still wait somewhere.

    Args:
        app: Its broker has the workers.
        store: The event log and its clients.
        client: Id of a registered client.
        keys: Only events of these keys; all if empty.
        offsets: Only these events; all if empty.
        reason: Why, for the journal.
        by: Who does it, for the journal.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        hold_driven_client(connection, client)
        forget_answers(connection, client)
        done = recall_open(connection, client, keys=keys, offsets=offsets, reason=reason, by=by)
    if done.task_ids:
        _drop(app, done.task_ids[:REVOKED_TASKS])
    return done


def _drop(app: Celery, task_ids: Sequence[str]) -> None:
    """Ask the workers to drop these tasks; where that does not work, nothing is lost but the work of a copy."""
    from bridge.broker.revoking import revoke  # only now: they come with the drivers of brokers
    from bridge.operate.workers import connected

    try:
        with connected(app, timeout_seconds=REVOKE_SECONDS) as connection:
            revoke(app, connection, task_ids, seconds=REVOKE_SECONDS)
    except Exception as error:  # whatever it is, the events go out again
        logger.info("the workers can't be told to drop messages that were replaced: %s", said(error))

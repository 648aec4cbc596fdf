"""One pass: lock a client, read its next final events, send them as tasks, record them in `fq.deliveries`.

The broker has accepted every message before the transaction that remembers it commits. A crash in between hands the
same events over again; no crash can skip one. Delivery is therefore at least once (G1). What a pass takes is bounded by
the client's window and by the limit of a pass, whatever the backlog (G5). A client that another transaction holds is
left alone (G6).

What people asked for goes out beside the log: parked events that are to be tried again, and replays of old ones. Both
stay within the window, in the order of their keys, and neither moves a cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypedDict

from sqlalchemy import Connection

from bridge.bounds import BATCH_BYTES, REVOKED_TASKS
from bridge.errors import BrokerUnavailable, Unsent
from bridge.happened import Happening, tell
from bridge.model import Client, Delivery, task_id
from bridge.pump.budget import budget_of
from bridge.pump.judgement import judge
from bridge.pump.sending import Send
from bridge.pump.taking import take
from bridge.pump.unfinished import finish_done, give_up_refused, give_up_unanswered
from bridge.pump.waiting import judge_leases
from bridge.store import Store, handover, leases
from bridge.store.durations import timed
from bridge.store.handover import Todo
from bridge.store.rehearsal import check_constraints

NOT_TAKEN_SECONDS = 0.5  # until what a full queue did not take is tried again: its fleet goes on meanwhile

Look = Callable[[str], int | None]  # how many messages wait in a queue; None where the broker does not say
Revoke = Callable[[Sequence[str]], None]  # ask the workers to drop these tasks


class Pass(NamedTuple):
    """What one pass did.

    Attributes:
        sent: Events that the broker took.
        looked: Events of the log that were looked at, filtered ones included.
        hungry: Whether another pass may find more to do at once.
        again: How many of the events sent went out once more: retries, and those whose lease ran out.
        trouble: Why the broker took only some of the events; those that it did not take go out again in a while.
    """

    sent: int
    looked: int
    hungry: bool
    again: int = 0
    trouble: str = ""


class Bounds(TypedDict):
    """What a pass and its rehearsal have in common, as the arguments of both.

    Attributes:
        horizon: The highest offset that is final.
        limit: Most events to hand over.
        bridge: The bridge that runs the pass.
        look: Says how long the client's queue is.
        batch_bytes: Most that is fetched at once of large events.
    """

    horizon: int
    limit: int
    bridge: str
    look: Look
    batch_bytes: int


def unknown_length(_: str) -> int | None:
    """Look at no queue: every lease runs out when its time is over."""
    return None


def hand_over(
    store: Store,
    client_id: str,
    *,
    horizon: int,
    limit: int,
    send: Send,
    bridge: str | None = None,
    look: Look = unknown_length,
    revoke: Revoke | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> Pass | None:
    """Run one pass for one client.

    Args:
        store: The event log and its clients.
        client_id: Id of a registered client.
        horizon: The highest offset that is final.
        limit: Most events to hand over.
        send: Publishes deliveries, and returns when the broker has them; returns those that were not sent.
        bridge: The bridge that runs the pass; a client of another one is left alone. None for any.
        look: Says how long the client's queue is; asked only where leases have run out.
        revoke: Asks the workers not to run attempts that are replaced or given up.
        batch_bytes: Most that is fetched at once of large events.

    Returns:
        What was done; None if another transaction (a pump, settling, an operator) holds the client, or if it is neither
        active nor draining, or if another bridge serves it.

    Raises:
        StoreUnavailable, BrokerUnavailable: the pass is rolled back; messages that were sent go out again.
    """
    with timed(store, "pass") as passed, store.transaction(vouched=True) as connection:
        client = handover.lock_client(connection, client_id, bridge=bridge)
        if client is None:
            return None
        done, replaced = _done(
            connection, client, horizon=horizon, limit=limit, send=send, look=look, batch_bytes=batch_bytes
        )
    if replaced and revoke is not None:  # after the commit: the client's row is free
        revoke(replaced)
    _tell(client, done, passed.seconds)
    return done


class _Rehearsed(Exception):
    """All of a pass went well, and it is rolled back."""


def rehearse(
    store: Store,
    client_id: str,
    *,
    horizon: int,
    limit: int,
    bridge: str | None = None,
    look: Look = unknown_length,
    batch_bytes: int = BATCH_BYTES,
) -> None:
    """Run one pass for one client without its messages, and roll it back.

    What Postgres refuses of a pass may come up only behind the messages, at the commit even. The next pass would send
    them again, and so for ever.

    Args:
        store: The event log and its clients.
        client_id: Id of a registered client.
        horizon: The highest offset that is final.
        limit: Most events to hand over.
        bridge: The bridge that runs the pass.
        look: Says how long the client's queue is.
        batch_bytes: Most that is fetched at once of large events.

    Raises:
        StoreUnavailable, StoreRefused, SchemaError: the pass would end so.
    """
    with suppress(_Rehearsed), store.transaction(vouched=True) as connection:
        if (client := handover.lock_client(connection, client_id, bridge=bridge)) is not None:
            _done(connection, client, horizon=horizon, limit=limit, send=_nowhere, look=look, batch_bytes=batch_bytes)
            check_constraints(connection)
        raise _Rehearsed


def _nowhere(_: Client, __: Sequence[Delivery]) -> Sequence[Unsent]:
    return ()


def _done(
    connection: Connection, client: Client, *, horizon: int, limit: int, send: Send, look: Look, batch_bytes: int
) -> tuple[Pass, list[str]]:
    """Do all that a pass does in its transaction; return it, and the ids of the tasks whose lease is over."""
    replaced: list[str] = []
    todo = handover.look_at_client(connection, client)
    if todo.woken and todo.due:
        replaced = _end_leases(connection, client, look) if todo.lapsed else []
        finish_done(connection, client)
        if give_up_unanswered(connection, client, todo.verdict):
            return Pass(0, 0, hungry=False), replaced
        todo = handover.look_at_client(connection, client)
    done = _take_and_send(connection, client, todo, horizon=horizon, limit=limit, send=send, batch_bytes=batch_bytes)
    return done, replaced


def _tell(client: Client, done: Pass, seconds: float) -> None:
    """Tell what a pass did that is committed; nothing of one that had nothing to do."""
    if done.sent or done.looked:
        counts = {"again": done.again, "looked": done.looked}
        tell(Happening(kind="handed-over", client=client.id, number=done.sent, seconds=seconds, counts=counts))


def _end_leases(connection: Connection, client: Client, look: Look) -> list[str]:
    """Renew the leases of messages that may still wait; return the ids of the tasks whose lease is over."""
    lapsed = leases.look_at_leases(connection, client)
    verdicts = judge_leases(lapsed, length=look(client.queue), lease_seconds=client.ack_timeout_seconds)
    leases.renew_leases(connection, client, verdicts.renewed)
    return [task_id(client.id, it.offset, it.epoch, it.attempt) for it in verdicts.over[:REVOKED_TASKS]]


def _take_and_send(
    connection: Connection,
    client: Client,
    todo: Todo,
    *,
    horizon: int,
    limit: int,
    send: Send,
    batch_bytes: int,
) -> Pass:
    """Hand over what the client may have, and say when to look again."""
    budget = budget_of(client, todo, limit=limit)
    taken = take(connection, client, budget, horizon=horizon, send=send, batch_bytes=batch_bytes)
    trouble = str(taken.not_taken[0]) if taken.not_taken else ""
    unsent = len(taken.refused) + len(taken.not_taken)
    if trouble and unsent == taken.again + taken.fresh:
        raise BrokerUnavailable(trouble)  # nothing went out, so there is nothing to remember
    give_up_refused(connection, client, taken.refused, todo.verdict)
    leases.postpone(connection, client, [it.offset for it in taken.not_taken], seconds=NOT_TAKEN_SECONDS)
    judgement = judge(budget, taken, woken=todo.woken)
    if judgement.changed:
        handover.finish_pass(
            connection,
            client,
            delivered=taken.delivered,
            retried=taken.retried,
            counted=taken.counted,
            owed=taken.owed,
            hungry=judgement.hungry,
            full=judgement.full,
            within_seconds=judgement.within_seconds,
            tokens=judgement.tokens,
            token_seconds=judgement.token_seconds,
        )
    if client.state == "draining" and not todo.opened:
        handover.end_drain(connection, client)
    if trouble:  # the line above forgets it
        leases.note_not_taken(connection, client, trouble)
    return Pass(taken.again + taken.fresh - unsent, taken.looked, judgement.hungry, taken.retried, trouble)

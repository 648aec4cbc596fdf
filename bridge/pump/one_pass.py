"""One pass: lock a client, read its next final events, send them as tasks, record them in `fq.deliveries`.

The broker has accepted every message before the transaction that remembers it commits. A crash in between hands the
same events over again; no crash can skip one. Delivery is therefore at least once (G1). What a pass takes is bounded by
the client's window and by the limit of a pass, whatever the backlog (G5). A client that another transaction holds is
left alone (G6).

What people asked for goes out beside the log: parked events that are to be tried again, and replays of old ones. Both
stay within the window, in the order of their keys, and neither moves a cursor.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.bounds import BATCH_BYTES
from bridge.pump.budget import budget_of
from bridge.pump.judgement import judge
from bridge.pump.taking import Send, take
from bridge.pump.unfinished import finish_done, give_up_refused, give_up_unanswered
from bridge.store import Store, handover


class Pass(NamedTuple):
    """What one pass did.

    Attributes:
        sent: Events that the broker took.
        looked: Events of the log that were looked at, filtered ones included.
        hungry: Whether another pass may find more to do at once.
    """

    sent: int
    looked: int
    hungry: bool


def hand_over(
    store: Store, client_id: str, *, horizon: int, limit: int, send: Send, batch_bytes: int = BATCH_BYTES
) -> Pass | None:
    """Run one pass for one client.

    Args:
        store: The event log and its clients.
        client_id: Id of a registered client.
        horizon: The highest offset that is final.
        limit: Most events to hand over.
        send: Publishes deliveries, and returns when the broker has them; returns the deliveries that cannot be turned
            into a message.
        batch_bytes: Most that is fetched at once of large events.

    Returns:
        What was done; None if another transaction (a pump, settling, an operator) holds the client, or if it is neither
        active nor draining.

    Raises:
        StoreUnavailable, BrokerUnavailable: the pass is rolled back; messages that were sent go out again.
    """
    with store.transaction() as connection:
        client = handover.lock_client(connection, client_id)
        if client is None:
            return None
        todo = handover.look_at_client(connection, client)
        if todo.woken and todo.due:
            finish_done(connection, client)
            if give_up_unanswered(connection, client, todo.verdict):
                return Pass(0, 0, hungry=False)
            todo = handover.look_at_client(connection, client)
        budget = budget_of(client, todo, limit=limit)
        taken = take(connection, client, budget, horizon=horizon, send=send, batch_bytes=batch_bytes)
        give_up_refused(connection, client, taken.refused, todo.verdict)
        judgement = judge(budget, taken, woken=todo.woken)
        if judgement.changed:
            handover.finish_pass(
                connection,
                client,
                delivered=taken.fresh,
                hungry=judgement.hungry,
                full=judgement.full,
                within_seconds=judgement.within_seconds,
            )
        if client.state == "draining" and not todo.opened:
            handover.end_drain(connection, client)
        return Pass(taken.again + taken.fresh - len(taken.refused), taken.looked, judgement.hungry)

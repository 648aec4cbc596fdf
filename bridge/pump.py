"""One pass: take a client, read its next final events, hand them to Celery, remember them.

The broker has accepted every message before the transaction that remembers it commits. A crash in between hands the same
events over again; no crash can skip one. Delivery is therefore at least once (G1). What a pass takes is bounded by the
client's window and by the batch, whatever the backlog (G5), and a client that another pump holds is left to it (G6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery, Failure
from bridge.store import Store, handover, outcomes
from bridge.store.outcomes import Exhausted

Send = Callable[[Client, Sequence[Delivery]], Sequence[Undeliverable]]

LONGEST_LOOK = 10_000  # events that one pass looks at where few of them match or many of them wait
NEVER_ANSWERED = "never answered"


class Pass(NamedTuple):
    """What one pass did.

    Attributes:
        sent: Messages that the broker took.
        looked: Events of the log that were looked at, filtered ones included.
        hungry: Whether another pass may find more to do at once.
    """

    sent: int
    looked: int
    hungry: bool


def hand_over(store: Store, client_id: str, *, horizon: int, batch: int, send: Send) -> Pass | None:
    """Run one pass for one client.

    Args:
        store: The event log and its clients.
        client_id: Id of a registered client.
        horizon: The highest offset that is final.
        batch: Most messages to send.
        send: Publishes a batch and returns when the broker has it; returns what no message can be made of.

    Returns:
        What was done; None if another pump has the client, or it is not active.

    Raises:
        StoreUnavailable, BrokerUnavailable: the pass is rolled back; messages that were sent go out again.
    """
    with store.transaction() as connection:
        locked = handover.lock_client(connection, client_id)
        if locked is None:
            return None
        client, woken = locked
        if woken and _give_up_unanswered(connection, client):
            return Pass(0, 0, hungry=False)
        opened = handover.count_open(connection, client)
        window = 1 if client.ordering == "strict" else client.window
        again = handover.hand_over_again(connection, client, room=batch) if woken else []
        room = max(0, min(window - opened, batch - len(again)))
        if client.state == "draining":  # what is open may still be retried, nothing else goes out
            room = 0
        successors = handover.hand_over_lanes(connection, client, room=room) if woken and room else []
        new, upto = _take_new(connection, client, horizon=horizon, room=room - len(successors))
        deliveries = [*again, *successors, *new]
        refused = send(client, deliveries) if deliveries else []
        _give_up(connection, client, [(error.offset, f"undeliverable: {error}") for error in refused])
        full = opened + len(successors) + len(new) >= window and not refused
        hungry = bool(refused) or len(deliveries) >= batch or (room > 0 and not full and upto < horizon)
        if deliveries or woken or full or upto > client.dispatched:
            handover.finish_pass(connection, client, delivered=len(successors) + len(new), hungry=hungry, full=full)
        if client.state == "draining" and not opened:
            outcomes.set_state(connection, client.id, state="paused", reason="drained", by="bridge")
        return Pass(len(deliveries) - len(refused), upto - client.dispatched, hungry)


def _take_new(connection: Connection, client: Client, *, horizon: int, room: int) -> tuple[list[Delivery], int]:
    """New events, looking further each time that too few of them could go out."""
    taken: list[Delivery] = []
    upto, slice = client.dispatched, room
    while room and upto < horizon and slice <= max(LONGEST_LOOK, room):
        found, upto = handover.hand_over_new(connection, client, after=upto, horizon=horizon, slice=slice, room=room)
        taken += found
        room -= len(found)
        slice *= 4
    return taken, upto


def _give_up_unanswered(connection: Connection, client: Client) -> bool:
    """Set aside what was handed over as often as it may be and never answered; whether that halted the client."""
    unanswered = outcomes.expired(connection, client)
    _give_up(connection, client, [(delivery.offset, NEVER_ANSWERED) for delivery in unanswered])
    return bool(unanswered) and client.on_exhausted == "halt"


def _give_up(connection: Connection, client: Client, doomed: Sequence[tuple[int, str]]) -> None:
    exhausted = [Exhausted(client.id, offset, reason, Failure(), client.on_exhausted) for offset, reason in doomed]
    outcomes.give_up(connection, exhausted)

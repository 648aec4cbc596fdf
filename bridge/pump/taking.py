"""Take what goes out, within the budget, and send each slice while the next one is on its way from Postgres.

The order is: retries and deliveries whose lease ran out, redriven events, successors of finished keys, replays, new
events.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.bounds import REPLAYS_SERVED
from bridge.errors import NotTaken, Undeliverable
from bridge.model import Client, Delivery
from bridge.pump.budget import Budget
from bridge.pump.portions import holds_large, portions
from bridge.pump.sending import Send, Sending
from bridge.pump.slices import Slices
from bridge.store import handover
from bridge.store.handover import Replayed
from bridge.store.tally import Tally

LONGEST_REPLAY_LOOK_EVENTS = 1000  # events of a replay that one pass looks at
SAFETY_NET_SECONDS = 1  # a blocked delivery is woken when its blocker ends; as a safety net, look again this often


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a pass took.

    Attributes:
        again: Deliveries that were open before: retries, and those that the broker did not take before.
        fresh: All other deliveries: new events, successors, redriven and replayed events.
        counted: Those that were handed over for the first time since the client's ledger began.
        owed: Those that were neither open nor parked before.
        looked: Events of the log that were looked at.
        refused: The deliveries among them that cannot be turned into a message.
        not_taken: Those that the broker does not take for now.
        more: Whether there may be more in the log or in a replay, given room.
        within_seconds: Seconds until replays and redrives must be checked again: 0 is at once; None if there are none.
        delivered: For metrics, how many the broker took of what is fresh, or was never with it before.
        retried: For metrics, how many it took of the others.
    """

    again: int
    fresh: int
    counted: Tally
    owed: Tally
    looked: int
    refused: tuple[Undeliverable, ...]
    more: bool
    within_seconds: float | None
    not_taken: tuple[NotTaken, ...] = ()
    delivered: int = 0
    retried: int = 0


class Old(NamedTuple):
    """What goes out beside the new events of the log.

    Attributes:
        deliveries: First those that go out again, then the others.
        again: How many go out again.
        successors: The first hand-overs among them since the client's ledger began.
        owed: Those that were neither open nor parked before.
        redrive_seconds: Seconds until redrives must be checked again; None if there are none.
        replay_seconds: Seconds until replays must be checked again: 0 is at once; None if there are none.
    """

    deliveries: list[Delivery]
    again: int
    successors: Tally
    owed: Tally
    redrive_seconds: float | None
    replay_seconds: float | None


def take(
    connection: Connection, client: Client, budget: Budget, *, horizon: int, send: Send, batch_bytes: int
) -> Taken:
    """Hand over what the budget allows, and send it.

    Args:
        connection: In a transaction that holds the client.
        client: The client, as it was locked.
        budget: What may be taken.
        horizon: The last event that may be looked at.
        send: Publishes deliveries, and returns when the broker has them; returns those that were not sent.
        batch_bytes: Most that is fetched at once of large events.
    """
    old = _take_old(connection, client, budget)
    ready, refused, sending = list[Delivery](), list[Undeliverable](), Sending(send)
    left = budget.room(again=old.again) - (len(old.deliveries) - old.again)
    for some in portions(connection, client, old.deliveries, refused, most_bytes=batch_bytes):
        sending.send(client, ready)
        ready = some
        if holds_large(ready):  # it is let go before the next one is fetched
            sending.send(client, ready)
            ready = []
    waits = budget.is_still_full(budget.opened) or handover.is_gathering(connection, client, horizon=horizon)
    new = Slices(connection, client, horizon=horizon, room=0 if waits else left, batch_bytes=batch_bytes)
    with closing(iter(new)) as slices:  # else its thread may use the connection while the next transaction has it
        for found in slices:
            sending.send(client, ready + found)
            ready = []
    left -= new.taken
    rest = Replayed([], old.replay_seconds)
    if rest.within_seconds == 0:
        rest = _take_replayed(connection, client, budget, room=left)
    for some in portions(connection, client, rest.deliveries, refused, most_bytes=batch_bytes):
        sending.send(client, ready + some)
        ready = []
    sending.send(client, ready)
    seconds = [each for each in (old.redrive_seconds, rest.within_seconds) if each is not None]
    fresh = budget.room(again=old.again) - left + len(rest.deliveries)
    not_taken = tuple(it for it in sending.unsent if isinstance(it, NotTaken))
    delivered, retried = _with_the_broker(old.deliveries[: old.again], fresh, not_taken)
    return Taken(
        again=old.again,
        fresh=fresh,
        counted=old.successors + new.tally,
        owed=old.owed + new.tally + _tally(rest.deliveries),
        looked=new.upto - client.dispatched,
        refused=(*refused, *new.refused, *(it for it in sending.unsent if isinstance(it, Undeliverable))),
        not_taken=not_taken,
        delivered=delivered,
        retried=retried,
        more=(new.upto < horizon and not waits) or rest.within_seconds == 0,
        within_seconds=min(seconds, default=None),
    )


def _with_the_broker(again: Sequence[Delivery], fresh: int, not_taken: Sequence[NotTaken]) -> tuple[int, int]:
    """Return how many deliveries the broker took for the first time, and how many once more.

    What it did not take counts when it does. Of those that go out again the first attempt was never with it.
    """
    missing = {it.offset for it in not_taken}
    taken = [it for it in again if it.offset not in missing]
    first = sum(it.attempt == 1 for it in taken)
    return fresh - (len(missing) - (len(again) - len(taken))) + first, len(taken) - first


def _take_old(connection: Connection, client: Client, budget: Budget) -> Old:
    """Take what is due again, what a person asked for, successors, and at most half a window of a replay."""
    again = handover.hand_over_again(connection, client, room=budget.limit) if budget.again else []
    left = budget.room(again=len(again))
    redriven = _take_redriven(connection, client, budget, room=left)
    left -= len(redriven.deliveries)
    successors = handover.hand_over_lanes(connection, client, room=left) if budget.lanes and left else []
    left -= len(successors)
    # Half of the window is the replay's while there are events for all of it; either may use what the other leaves.
    replayed = _take_replayed(connection, client, budget, room=min(left, budget.replayed or 0))
    deliveries = [*again, *redriven.deliveries, *successors, *replayed.deliveries]
    return Old(
        deliveries,
        len(again),
        Tally.of(it.offset for it in successors if it.offset > client.counted_after),
        _tally(successors) + _tally(replayed.deliveries),
        redriven.within_seconds,
        replayed.within_seconds,
    )


def _tally(deliveries: Sequence[Delivery]) -> Tally:
    return Tally.of(delivery.offset for delivery in deliveries)


def _take_redriven(connection: Connection, client: Client, budget: Budget, *, room: int) -> Replayed:
    """Take parked events that are to be tried again; they leave half of the room to other events."""
    if not budget.redriven:
        return Replayed([], None)
    share = (room + 1) // 2
    found = handover.hand_over_redriven(connection, client, room=share) if share else []
    return Replayed(found, 0 if share and len(found) == share else SAFETY_NET_SECONDS)


def _take_replayed(connection: Connection, client: Client, budget: Budget, *, room: int) -> Replayed:
    """Take events of replays, which share the room; without room there may be more as soon as there is some.

    First go those that waited aside: they come before the others in the log.
    """
    if budget.replayed is None:
        return Replayed([], None)
    if room <= 0:
        return Replayed([], 0)
    found = handover.hand_over_aside(connection, client, room=room)
    ids = handover.replays(connection, client, most=REPLAYS_SERVED)
    seconds = [SAFETY_NET_SECONDS] if len(ids) == REPLAYS_SERVED else list[float]()
    for nth, replay in enumerate(ids):
        share = -(-(room - len(found)) // (len(ids) - nth))  # rounded up
        if share <= 0:
            return Replayed(found, 0)
        one = handover.hand_over_replay(connection, client, replay, room=share, slice=LONGEST_REPLAY_LOOK_EVENTS)
        found += one.deliveries
        seconds += [] if one.within_seconds is None else [one.within_seconds]
    return Replayed(found, min(seconds, default=None))

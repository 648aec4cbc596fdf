"""One pass: take a client, read its next final events, hand them to Celery, remember them.

The broker has accepted every message before the transaction that remembers it commits. A crash in between hands the
same events over again; no crash can skip one. Delivery is therefore at least once (G1). What a pass takes is bounded by
the client's window and by the limit of a pass, whatever the backlog (G5), and a client that another pump holds is left
to it (G6).

What people asked for goes out beside the log: parked events that are to be tried again, and replays of old ones. Both
stay within the window, in the order of their keys, and neither moves a cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery, Failure
from bridge.pump.slices import Slices
from bridge.settle.policy import verdict
from bridge.store import Store, handover, outcomes
from bridge.store.handover import Taken, Todo
from bridge.store.outcomes import Exhausted

Send = Callable[[Client, Sequence[Delivery]], Sequence[Undeliverable]]

LONGEST_REPLAY_LOOK_EVENTS = 1000  # events of a replay that one pass looks at
WAITING_SECONDS = 1  # what waits for other deliveries is woken when they end; this often it is looked at in any case
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


@dataclass(slots=True)
class Taking:
    """What a pass takes, as it goes on.

    Attributes:
        window: Most that may be open.
        again: Deliveries that go out once more.
        fresh: Deliveries that go out for the first time, or that somebody asked for.
        room: What there was room for, beside `again`.
        upto: How far the log was looked through.
        within: Seconds until a replay or a redrive must be looked at; None if there is none.
        more: Whether there may be more of it at once, given room.
    """

    window: int
    upto: int
    again: int = 0
    fresh: int = 0
    room: int = 0
    within: float | None = None
    more: bool = False


def hand_over(store: Store, client_id: str, *, horizon: int, limit: int, send: Send) -> Pass | None:
    """Run one pass for one client.

    Args:
        store: The event log and its clients.
        client_id: Id of a registered client.
        horizon: The highest offset that is final.
        limit: Most messages to send.
        send: Publishes a batch and returns when the broker has it; returns what no message can be made of.

    Returns:
        What was done; None if another pump has the client, or it is not active.

    Raises:
        StoreUnavailable, BrokerUnavailable: the pass is rolled back; messages that were sent go out again.
    """
    with store.transaction() as connection:
        client = handover.lock_client(connection, client_id)
        if client is None:
            return None
        todo = handover.look_at_client(connection, client)
        if todo.woken and todo.due:
            _finish_done(connection, client)
            if _give_up_unanswered(connection, client):
                return Pass(0, 0, hungry=False)
            todo = handover.look_at_client(connection, client)
        taking = Taking(1 if client.ordering == "strict" else client.window, client.dispatched)
        # Closed before the rollback: else an error's traceback keeps it, and its thread uses the connection that the
        # next transaction has.
        with closing(_take(connection, client, todo, taking, horizon=horizon, limit=limit)) as lots:
            refused = [error for lot in lots for error in send(client, lot)]
        _give_up(connection, client, [(error.offset, f"undeliverable: {error}") for error in refused])
        return _finish(connection, client, todo, taking, refused=len(refused), limit=limit)


def _take(
    connection: Connection, client: Client, todo: Todo, taking: Taking, *, horizon: int, limit: int
) -> Generator[list[Delivery], None, None]:
    """What goes out: first what is due again, then what people asked for, then successors of finished keys, then the new."""
    again = handover.hand_over_again(connection, client, room=limit) if todo.woken and todo.due else []
    taking.again = len(again)
    if client.state != "draining":  # where what is open may still be retried, but nothing else goes out
        taking.room = max(0, min(taking.window - todo.opened, limit - len(again)))
    redriven = _take_redriven(connection, client, todo, room=taking.room)
    left = taking.room - len(redriven.deliveries)
    successors = handover.hand_over_lanes(connection, client, room=left) if todo.ready and left else []
    left -= len(successors)
    # Half of the window is the replay's while there are events for all of it; either may use what the other leaves.
    replayed = _take_replayed(connection, client, todo, room=min(left, taking.window // 2 - todo.replayed))
    left -= len(replayed.deliveries)
    lot = [*again, *redriven.deliveries, *successors, *replayed.deliveries]
    waiting = _is_full(todo, todo.opened, taking) or handover.is_gathering(connection, client, horizon=horizon)
    new = Slices(connection, client, horizon=horizon, room=0 if waiting else left)
    with closing(iter(new)) as slices:
        for found in slices:
            yield lot + found
            lot = []
    left -= new.taken
    rest = _take_replayed(connection, client, todo, room=left) if replayed.within == 0 else Taken([], replayed.within)
    lot += rest.deliveries
    if lot:
        yield lot
    taking.fresh = taking.room - left + len(rest.deliveries)
    taking.upto = new.upto
    taking.within = min((w for w in (redriven.within, rest.within) if w is not None), default=None)
    taking.more = (new.upto < horizon and not waiting) or rest.within == 0


def _finish(connection: Connection, client: Client, todo: Todo, taking: Taking, *, refused: int, limit: int) -> Pass:
    """Say when to look again, and move the cursor over what needed no delivery."""
    fresh, within = taking.fresh, taking.within
    sent, opened = taking.again + fresh, todo.opened + fresh
    full = _is_full(todo, opened, taking) or (opened >= taking.window and not refused)
    hungry = bool(refused) or sent >= limit or (taking.room > 0 and not full and taking.more)
    if sent or todo.woken or full or taking.upto > client.dispatched or within is not None:
        if within is not None and taking.room <= fresh:
            within = WAITING_SECONDS
        handover.finish_pass(connection, client, delivered=fresh, hungry=hungry, full=full, within=within)
    if client.state == "draining" and not todo.opened:
        handover.end_drain(connection, client)
    return Pass(sent - refused, taking.upto - client.dispatched, hungry)


def _is_full(todo: Todo, opened: int, taking: Taking) -> bool:
    """Whether a window that was full still is: only successors go out until a tenth of it is free."""
    return todo.full and opened > 0.9 * taking.window


def _take_redriven(connection: Connection, client: Client, todo: Todo, *, room: int) -> Taken:
    """Parked events that somebody wants to try again; they leave half of the room to what is new."""
    if not todo.redriving or client.state == "draining":
        return Taken([], None)
    share = (room + 1) // 2
    found = handover.hand_over_redriven(connection, client, room=share) if share else []
    return Taken(found, 0 if share and len(found) == share else WAITING_SECONDS)


def _take_replayed(connection: Connection, client: Client, todo: Todo, *, room: int) -> Taken:
    """The next events of a replay; where there is no room for them, there may be more as soon as there is."""
    if not todo.replaying or client.state == "draining":
        return Taken([], None)
    if room <= 0:
        return Taken([], 0)
    return handover.hand_over_replay(connection, client, room=room, slice=LONGEST_REPLAY_LOOK_EVENTS)


def _finish_done(connection: Connection, client: Client) -> None:
    """Finish what ended in a transaction of its handler, and whose callback was lost."""
    done = outcomes.done(connection, client)
    if done:
        outcomes.move_cursors(connection, outcomes.succeed(connection, done))


def _give_up_unanswered(connection: Connection, client: Client) -> bool:
    """Set aside what was handed over as often as it may be and never answered; whether that halted the client."""
    unanswered = outcomes.expired(connection, client)
    _give_up(connection, client, [(delivery.offset, NEVER_ANSWERED) for delivery in unanswered])
    return bool(unanswered) and verdict(client.on_exhausted, client.ordering) == "halt"


def _give_up(connection: Connection, client: Client, doomed: Sequence[tuple[int, str]]) -> None:
    then = verdict(client.on_exhausted, client.ordering)
    exhausted = [Exhausted(client.id, offset, reason, Failure(), then) for offset, reason in doomed]
    outcomes.give_up(connection, exhausted)

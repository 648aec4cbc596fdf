"""Take clients in and out of service: pause, drain, release, resume and remove.

Outcomes of what is open still count while a client is paused. Only a removed client's are ignored.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.errors import UsageError
from bridge.store import Store
from bridge.store.held import (
    HeldClient,
    hold_client,
    hold_driven_client,
    hold_log,
    move_client,
    release_client,
    remove_client,
)
from bridge.store.journal import note
from bridge.store.leases import forget_answers
from bridge.store.outcomes import set_state
from bridge.wording import counted


class Resumed(NamedTuple):
    """What resuming did.

    Attributes:
        was: The state that the client was in; `active` if there was nothing to do.
        missed: The first and the last offset of what it was not handed, because the log was pruned while the client was
            released; None for a client that missed nothing.
    """

    was: str
    missed: tuple[int, int] | None = None


def pause(store: Store, client: str, *, reason: str, by: str, drain: bool = False) -> str:
    """Stop handing events to a client.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        reason: Why, for those who look at its status.
        by: Who does it, for the journal.
        drain: First let open deliveries be retried until they are finished; then the client is paused.

    Returns:
        The client's state: `paused`, or `draining` while deliveries are open.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        held = hold_driven_client(connection, client)
        if held.released:
            raise UsageError(
                f"client {client!r} is released and halted already: `eventbridge resume {client}` ends that"
            )
        state = "draining" if drain and held.open else "paused"
        set_state(connection, client, state=state, reason=reason, by=by)
    return state


def release(store: Store, client: str, *, reason: str, by: str) -> HeldClient:
    """Let a client stop holding the log: it is halted, its cursor stays, and its replays end.

    Args:
        store: The event log and its clients.
        client: Id of a client; a plain SQL reader holds the log again with its next commit.
        reason: Why, for those who look at its status.
        by: Who does it, for the journal.

    Returns:
        The client as it was.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: no reason is given; nothing changed.
    """
    if not reason.strip():
        raise UsageError(f"say why client {client!r} is released, for those who look at its status")
    with store.transaction() as connection:
        held = hold_client(connection, client)
        release_client(connection, client, reason=f"released: {reason}", by=by)
    return held


def resume(store: Store, client: str, *, by: str) -> Resumed:
    """Go on handing events to a client. One that was released goes on behind what was pruned.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    while (done := _resumed(store, client, by=by)) is None:
        pass  # it was released at this moment: now the log is held first
    return done


def _resumed(store: Store, client: str, *, by: str) -> Resumed | None:
    """Resume a client; None where it was found released, and the log is not held. All hold the log before a client."""
    with store.transaction() as connection:
        pruned = hold_log(connection, released=client)
        held = hold_driven_client(connection, client)
        if held.released and pruned is None:
            return None
        missed = None
        if held.released and pruned is not None and pruned > held.offset:
            missed = held.offset + 1, pruned
            move_client(connection, client, target=pruned)
            note(connection, client, "miss", by=by, details={"from": held.offset, "to": pruned, "why": "pruned"})
        if held.state != "active":
            set_state(connection, client, state="active", reason="", by=by)
    return Resumed(held.state, missed)


def remove(store: Store, client: str, *, by: str, force: bool = False, reason: str = "") -> HeldClient:
    """Remove a client with its cursor, deliveries and parked events; the log and other clients stay as they are.

    A client that is registered later under the same id begins a new epoch, so outcomes of the old deliveries change
    nothing.

    Args:
        store: The event log and its clients.
        client: Id of a client; it may be a plain SQL reader.
        by: Who does it, for the journal.
        force: Remove it even while deliveries are open, and forget them.
        reason: Why, for the journal.

    Returns:
        The client as it was.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: deliveries are open; nothing changed.
    """
    with store.transaction() as connection:
        held = hold_client(connection, client)
        if held.open and not force:
            them = "it" if held.open == 1 else "them"
            raise UsageError(
                f"client {client!r} has {counted(held.open, 'open delivery', 'open deliveries')}: "
                f"`eventbridge pause {client} --drain` lets {them} finish, `eventbridge remove {client} --force` "
                f"forgets {them}"
            )
        forget_answers(connection, client)
        remove_client(connection, client)
        details = {
            "offset": held.offset,
            "epoch": held.epoch,
            "task": held.task,
            "open": held.open,
            "parked": held.parked,
            **({"reason": reason} if reason else {}),
        }
        note(connection, client, "remove", by=by, details=details)
    return held

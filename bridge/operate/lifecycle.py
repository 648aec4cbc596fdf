"""In and out of service: pause, drain, resume and remove a client. What is in flight still commits, except when removed."""

from __future__ import annotations

from bridge.errors import UsageError
from bridge.store import Store, journal, outcomes
from bridge.store import held as rows
from bridge.wording import counted


def pause(store: Store, client: str, *, reason: str, by: str, drain: bool = False) -> str:
    """Stop handing events to a client.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        reason: Why, for whoever looks at it.
        by: Who says so, for the journal.
        drain: Let what is open be retried until it is finished; then the client is paused.

    Returns:
        The client's state: `paused`, or `draining` while deliveries are open.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        held = rows.hold_driven(connection, client)
        state = "draining" if drain and held.open else "paused"
        outcomes.set_state(connection, client, state=state, reason=reason, by=by)
    return state


def resume(store: Store, client: str, *, by: str) -> str:
    """Go on handing events to a client.

    Returns:
        The state that it was in; `active` if there was nothing to do.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        held = rows.hold_driven(connection, client)
        if held.state != "active":
            outcomes.set_state(connection, client, state="active", reason="", by=by)
    return held.state


def remove(store: Store, client: str, *, by: str, force: bool = False) -> rows.Held:
    """Remove a client with its cursor, deliveries and parked events; the log and its other clients stay as they are.

    Who registers the same id later begins a new epoch, so outcomes of the old deliveries change nothing.

    Args:
        store: The event log and its clients.
        client: Id of a client, of a plain SQL reader too.
        by: Who says so, for the journal.
        force: Also while deliveries are open.

    Returns:
        What it was.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: deliveries are open; nothing changed.
    """
    with store.transaction() as connection:
        held = rows.hold(connection, client)
        if held.open and not force:
            them = "it" if held.open == 1 else "them"
            raise UsageError(
                f"client {client!r} has {counted(held.open, 'open delivery', 'open deliveries')}: "
                f"`bridge pause {client} --drain` lets {them} finish, --force forgets {them}"
            )
        rows.remove(connection, client)
        details = {
            "offset": held.offset,
            "epoch": held.epoch,
            "task": held.task,
            "open": held.open,
            "parked": held.parked,
        }
        journal.note(connection, client, "remove", by=by, details=details)
    return held

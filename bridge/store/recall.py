"""The SQL of recalling: hand over again now what is open, because its message is lost. No attempt is counted.

A recalled delivery is due at once, as a retry is, so the next pass hands it over with an attempt number and a task id
of its own. A late failure of the lost attempt changes nothing then, and a late success still finishes the event.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import Unavailable
from bridge.happened import Happening, after_commit
from bridge.model import task_id
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.journal import note
from bridge.store.outcomes import is_held, lock_clients

MOST_NOTED_OFFSETS = 1000  # in one entry of the journal
LOCK_SECONDS = 5.0  # how long one client is waited for where all are recalled


class Recalled(NamedTuple):
    """What was recalled of one client.

    Attributes:
        client: Its id.
        offsets: The events that go out again, in order.
        finished: Events whose handler's transaction is done; the next pass finishes them without a message.
        task_ids: The tasks of the lost attempts.
    """

    client: str
    offsets: list[int]
    finished: list[int]
    task_ids: list[str]


def recall_open(
    connection: Connection,
    client: str,
    *,
    keys: Sequence[str] = (),
    offsets: Sequence[int] = (),
    sent_until: datetime | None = None,
    by: str,
    reason: str,
    action: str = "recall",
) -> Recalled:
    """Let a client's open deliveries go out again with the next pass, and write it into the journal.

    Args:
        connection: In a transaction that has locked the client.
        client: Id of a client.
        keys: Only events of these keys; all if empty.
        offsets: Only these events; all if empty.
        sent_until: Only what was handed over until then.
        by: Who does it, for the journal.
        reason: Why, for the journal.
        action: What the journal calls it.
    """
    binds = {"client": client, "keys": list(keys) or None, "offsets": list(offsets) or None, "sent_until": sent_until}
    rows = connection.execute(statement("operate/recall"), binds).all()
    done = Recalled(
        client,
        [row.offset for row in rows if row.state != "done"],
        [row.offset for row in rows if row.state == "done"],
        [task_id(client, row.offset, row.epoch, row.attempt) for row in rows if row.state != "done"],
    )
    if rows:
        details = {
            "events": len(done.offsets),
            "offsets": done.offsets[:MOST_NOTED_OFFSETS],
            "finished": done.finished[:MOST_NOTED_OFFSETS],
            "reason": reason,
        }
        note(connection, client, action, by=by, details=details)
    if done.offsets and by == "bridge":  # people see what they did
        told = Happening(
            kind="recalled", client=client, offset=done.offsets[0], number=len(done.offsets), reason=reason
        )
        after_commit(connection.info, [told])
    return done


def clients_with_open(store: Store, *, bridge: str | None = None) -> list[str]:
    """Return the ids of the clients that have open deliveries, of one bridge or of all."""
    with store.reading() as connection:
        return list(connection.execute(statement("operate/clients_with_open"), {"bridge": bridge}).scalars())


def recall_all(
    store: Store,
    *,
    bridge: str | None = None,
    clients: Collection[str] | None = None,
    sent_until: datetime | None = None,
    by: str = "bridge",
    reason: str,
    action: str = "recall",
    lock_seconds: float = LOCK_SECONDS,
) -> tuple[list[Recalled], list[str]]:
    """Recall what is open of many clients, each in a transaction of its own: one that is held does not stop the others.

    Args:
        store: The event log and its clients.
        bridge: Only clients of this bridge; None for all.
        clients: Only these clients; None for all that have open deliveries.
        sent_until: Only what was handed over until then. With it a call can be repeated for those that were held.
        by: Who does it, for the journal.
        reason: Why, for the journal.
        action: What the journal calls it.
        lock_seconds: How long to wait for a client that another transaction holds.

    Returns:
        What was recalled, and the ids of the clients that another transaction still holds: nothing changed for these.

    Raises:
        StoreUnavailable: Postgres refused or dropped; some clients may be done.
    """
    done, held = list[Recalled](), list[str]()
    for client in clients_with_open(store, bridge=bridge) if clients is None else sorted(clients):
        try:
            with store.transaction() as connection:
                if lock_clients(connection, [client], lock_seconds=lock_seconds):
                    done.append(
                        recall_open(connection, client, sent_until=sent_until, by=by, reason=reason, action=action)
                    )
        except Unavailable as error:
            if not is_held(error):
                raise
            held.append(client)
    return [it for it in done if it.offsets or it.finished], held

"""Replay what was pruned: archived events go back into the log, and then out to one client again."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.archive.places import Place
from bridge.model import Position
from bridge.operate.archived import first_since, put_back
from bridge.operate.replay import Replay, replay
from bridge.store import Store
from bridge.store.held import hold_driven_client


def replay_archived(
    store: Store,
    client: str,
    *,
    archive: Place,
    start: Position,
    end: Position,
    topics: Sequence[str] | None = None,
    per_second: float,
    by: str,
) -> Replay:
    """Start a replay as `replay` does, after putting back what of its range is archived.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        archive: Where the archive is.
        start: The first event: an offset that is included, or a moment.
        end: The last event: an offset that is included, or the moment before which it was created.
        topics: AMQP topic patterns; of other topics nothing is put back.
        per_second: Most events in a second (above 0).
        by: Who does it, for the journal.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader, or has finished nothing in this range.
    """
    with store.transaction() as connection:
        upto = hold_driven_client(connection, client).offset  # before anything is put back
    first = start.offset or 0
    if start.since is not None:  # the log does not know the offsets of what was pruned
        found = first_since(store, archive, start.since)
        start, first = (start, upto + 1) if found is None else (Position(offset=found), found)
    last = upto if end.offset is None else min(upto, end.offset)
    with put_back(store, archive, first=first, upto=last, topics=topics, by=by) as restored:
        begun = replay(store, client, start=start, end=end, topics=topics, per_second=per_second, by=by)
    return begun._replace(restored=restored)

"""Publish the flights while the workers run, and wait until every client is done with all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate

from bridge.demo.clients import CLIENTS
from bridge.demo.flights import Flight
from bridge.demo.installation import Installation
from bridge.demo.progress import Progress, Standing
from bridge.demo.stopping import Stopping
from bridge.errors import BridgeError
from bridge.log.publish import publish_many
from bridge.store import Store
from bridge.store.status import ClientStatus, read_status

BATCH = 500  # events of one transaction
BATCH_SECONDS = 0.2  # a month in some ten seconds, so that publishing and consuming can be seen side by side
LOOK_SECONDS = 0.4
LOOK_SHARE = 20  # `status` counts every event that lags: look so rarely that it takes 1/20 of the time at most
STALLED_SECONDS = 60
PAUSE_SECONDS = 0.02
NEW_YORK = timedelta(hours=-5)


def feed(installation: Installation, flights: Sequence[Flight], progress: Progress, stopping: Stopping) -> None:
    """Publish the flights in order, a batch at a time, and return when every cursor is at the last one.

    Raises:
        KeyboardInterrupt: a signal told us to stop.
        BridgeError: a worker has died, or nothing moves any more; the message ends with the logs.
        StoreUnavailable: Postgres has died.
    """
    wanted = {client.id: list(accumulate(map(client.wants, flights), initial=0)) for client in CLIENTS}
    publish_at = look_at = moved_at = time.monotonic()
    sent, last, done = 0, -1, 0
    while True:
        stopping.check()
        if sent < len(flights) and time.monotonic() >= publish_at:
            publish_at = time.monotonic() + BATCH_SECONDS
            last = _publish(installation.store, flights[sent : sent + BATCH])
            sent = min(sent + BATCH, len(flights))
        if time.monotonic() >= look_at:
            installation.processes.check()
            looked_at = time.monotonic()
            rows = {row.client: row for row in read_status(installation.store)}
            look_at = looked_at + max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - looked_at))
            finished = sent == len(flights) and all(row.offset >= last for row in rows.values())
            progress.show(_standings(rows, wanted, sent), note=_note(flights, sent), last=finished)
            if finished:
                return
            before, done = done, sum(row.succeeded for row in rows.values())
            if done > before:
                moved_at = looked_at
            elif looked_at > moved_at + STALLED_SECONDS:
                raise BridgeError(_stalled(rows, last) + installation.processes.tails())
        time.sleep(PAUSE_SECONDS)


def _publish(store: Store, batch: Sequence[Flight]) -> int:
    """Append flights to the log in one transaction; return the offset of the last one."""
    with store.transaction() as connection:
        return publish_many(connection, [flight.event for flight in batch])[-1]


def _standings(rows: Mapping[str, ClientStatus], wanted: Mapping[str, Sequence[int]], sent: int) -> list[Standing]:
    """Return how far each client is.

    Args:
        rows: What `status` says of each client.
        wanted: `wanted[client][n]` counts those of the first `n` events that are for a client.
        sent: Events that were published by now.
    """
    return [
        Standing(
            client=client,
            total=count[-1],
            published=count[sent],
            dispatched=rows[client].delivered,
            done=rows[client].succeeded,
        )
        for client, count in wanted.items()
    ]


def _note(flights: Sequence[Flight], sent: int) -> str:
    if sent == len(flights):
        return "all flights are published"
    return f"publishing: {flights[sent - 1].time + NEW_YORK:%-d January %H:%M}"


def _stalled(rows: Mapping[str, ClientStatus], last: int) -> str:
    behind = "; ".join(
        f"{id} stands at {row.offset}" + (f" ({row.trouble})" if row.trouble else "")
        for id, row in rows.items()
        if row.offset < last
    )
    return f"nothing was done for {STALLED_SECONDS} seconds: the last event is {last}, {behind}"

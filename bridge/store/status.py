"""The SQL of where clients stand: how far each is behind, and what it has open, waiting and parked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.errors import UnknownClient
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.locks import LOOK_LOCK_SECONDS

MOST_EVENTS_COUNTED = 100_000  # `status` and `explain` count no further: it takes about a tenth of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """Where one client stands. The names are the keys of `status --json`.

    Attributes:
        client: Its id.
        bridge: The name of the bridge that serves it.
        state: `active`, `draining`, `paused` or `halted`; `reader` for a plain SQL reader.
        state_reason: Why it is in this state; None or empty if no reason was given.
        state_by: Who put it into this state: user@host, or `bridge`.
        offset: Its committed cursor: everything up to it is finished. -1 is the beginning of the log.
        dispatched: How far the log was handed over to it.
        horizon: The highest offset that is final; -1 where the log is empty, or no pump has looked at it yet.
        epoch: Its epoch number; each seek starts a new one.
        task: Name of the Celery task that gets its events; None for a plain SQL reader.
        queue: Queue of the workers that run the task.
        topics: Its topic patterns.
        ordering: `key`, `none` or `strict`.
        window: Most deliveries that it may have open at once.
        lag_events: Matching events above its cursor, counted up to `MOST_EVENTS_COUNTED`. For all clients together ten
            times as many events are looked at: one that wants few of a long log is not looked at to its end.
        lag_at_least: Whether there may be more of them than were counted.
        lag_seconds: Age of the oldest of them; 0 if there is none.
        open: Deliveries that are not finished.
        waiting: Events that wait for an earlier event of their key, counted up to `MOST_EVENTS_COUNTED`.
        retrying: Open deliveries that wait for their next attempt.
        parked: Events that were set aside after their last attempt.
        delivered: Hand-overs since it was registered, without retries: new, redriven and replayed events.
        succeeded: Events that it has finished since then.
        trouble: Why the last pass could not serve it; None if it could.
        stopped: Why nothing is handed over or settled for any client; None if nothing stands in the way.
        declared_by: The app whose code declares it; None where a person or plain SQL has registered it.
        undeclared_at: Since when that app has run without declaring it; None if it does.
        scheduled: Events of the log that are scheduled for later, counted up to `MOST_EVENTS_COUNTED`; they are
            nobody's yet, so each client has the same number here, as it has the same horizon.
        scheduled_late_seconds: Since when the first of them is due, and not appended to the log; 0 where none is late.
    """

    client: str
    bridge: str
    state: str
    state_reason: str | None
    state_by: str | None
    offset: int
    dispatched: int
    horizon: int
    epoch: int
    task: str | None
    queue: str
    topics: list[str]
    ordering: str
    window: int
    lag_events: int
    lag_seconds: float
    open: int
    waiting: int
    retrying: int
    parked: int
    delivered: int
    succeeded: int
    trouble: str | None
    stopped: str | None = None
    declared_by: str | None = None
    undeclared_at: datetime | None = None
    scheduled: int = 0
    scheduled_late_seconds: float = 0.0
    lag_at_least: bool = False

    @property
    def lag_is_exact(self) -> bool:
        """Whether `lag_events` is all there is; else it is the least."""
        return self.lag_events < MOST_EVENTS_COUNTED and not self.lag_at_least


def read_status(store: Store, client: str | None = None) -> list[ClientStatus]:
    """Return where a client stands, or all of them in the order of their ids.

    Raises:
        UnknownClient: no such client.
    """
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        binds = {"client": client, "most": MOST_EVENTS_COUNTED}
        rows = connection.execute(statement("look/status"), binds).mappings()
        found = [ClientStatus(**row) for row in rows]
    if client is not None and not found:
        raise UnknownClient(client)
    return found

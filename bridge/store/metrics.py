"""The SQL of metrics: one round of statements, each of which looks at a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.losses import COLLECTOR_HOLDS_SECONDS
from bridge.store.rounds import beat_holds_seconds

MOST_CLIENTS = 1000
MOST_BRIDGES = 100
MOST_LOOKED_AT = 10_000  # events, lanes and parked events of one client; with more than ten clients less of each
MOST_ERROR_TYPES = 20  # of one client
LOCK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientNumbers:
    """Where one client stands; the words are those of `status`."""

    client: str
    bridge: str
    state: str
    trouble: bool
    lag_events: int
    lag_seconds: float
    open: int
    window: int
    retrying: int
    oldest_open_seconds: float
    waiting: int
    parked: int
    delivered: int
    succeeded: int
    failed: int
    duplicates: int
    retried: int
    recalled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedNumbers:
    """How many parked events of a client have an error of this type; None where no type is known."""

    client: str
    error_type: str | None
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeNumbers:
    """How one bridge is.

    Attributes:
        clients: How many it drives.
        pump_silent_seconds: Since the last sign of a pump; None where there was none and there are no clients.
        beat_silent_seconds: Since the last tick that beat sent.
        collectors: How many are at work.
        collector_silent_seconds: Since the last sign of a collector; None where there is none.
        stopped: Whether Postgres and the broker do not fit together, so that nothing is handed over.
    """

    bridge: str
    clients: int
    pump_silent_seconds: float | None
    beat_silent_seconds: float | None
    collectors: int
    collector_silent_seconds: float | None
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNumbers:
    """How the log is; ages are None where there is no such event."""

    drawn: int
    horizon: int
    bytes: int
    pruned: int
    oldest_seconds: float | None
    held_seconds: float | None
    scheduled: int = 0
    scheduled_late_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationNumbers:
    """A histogram: how many took at most so many seconds, and more than the bound before."""

    bridge: str
    name: str
    bounds: Sequence[float]
    counts: Sequence[int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All that Postgres knows.

    Attributes:
        holder_seconds: Age of the oldest transaction that the horizon waits for; 0 if there is none, None where this
            role may not see it.
    """

    clients: Sequence[ClientNumbers]
    parked: Sequence[ParkedNumbers]
    bridges: Sequence[BridgeNumbers]
    log: LogNumbers
    durations: Sequence[DurationNumbers]
    holder_seconds: float | None


def read_numbers(store: Store, *, bridge: str, interval_seconds: float) -> Numbers:
    """Read all numbers in one transaction.

    Args:
        store: The event log and its clients.
        bridge: The bridge that asks; it is told of also where it has no clients.
        interval_seconds: How often the bridge's beat starts the pump.

    Raises:
        StoreUnavailable: Postgres is away, or too slow.
    """
    with store.looking(lock_seconds=LOCK_SECONDS) as connection:
        connection.execute(statement("metrics/begin"))

        def rows(name: str, **binds: object) -> list[dict[str, object]]:
            return [dict(row) for row in connection.execute(statement(f"metrics/{name}"), binds).mappings()]

        holds = {"collector_holds": COLLECTOR_HOLDS_SECONDS, "beat_holds": beat_holds_seconds(interval_seconds)}
        clients = [ClientNumbers(**row) for row in rows("clients", clients=MOST_CLIENTS, most=MOST_LOOKED_AT)]  # type: ignore[arg-type]
        with_parked = [it.client for it in clients if it.parked]
        most = max(100, 10 * MOST_LOOKED_AT // max(10, len(with_parked)))
        holders = connection.execute(statement("look/horizon_holders")).scalars("age_seconds").all()
        ages = [age for age in holders if age is not None]
        return Numbers(
            clients=clients,
            parked=[
                ParkedNumbers(**row)  # type: ignore[arg-type]
                for row in rows("parked_types", clients=with_parked, most=most, types=MOST_ERROR_TYPES)
            ],
            bridges=[
                BridgeNumbers(**row)  # type: ignore[arg-type]
                for row in rows("bridges", bridge=bridge, bridges=MOST_BRIDGES, **holds)
            ],
            log=LogNumbers(**rows("log")[0]),  # type: ignore[arg-type]
            durations=[DurationNumbers(**row) for row in rows("durations", bridges=MOST_BRIDGES)],  # type: ignore[arg-type]
            holder_seconds=max(ages, default=None if holders else 0.0),
        )

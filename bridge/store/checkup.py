"""The SQL of `doctor` and `health`: what the server, the log, the roles, the clients and the processes are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.errors import SchemaError
from bridge.mark import Mark
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.locks import (
    LOCKED_SECONDS,
    LOOK_LOCK_SECONDS,
    Holder,
    StandbyWait,
    TableHolder,
    blockers,
    standby_wait,
    table_holders,
)
from bridge.store.losses import COLLECTOR_HOLDS_SECONDS
from bridge.store.marks import MarkStatus, list_marks
from bridge.store.migrate import check_schema
from bridge.store.missing import missing
from bridge.store.roles import GRANTS
from bridge.store.rounds import beat_holds_seconds
from bridge.wording import one_line

MOST_TOPICS = 1000  # that are read to look for patterns that match none


class ServerSeen(NamedTuple):
    """The server.

    Attributes:
        role: The role of this session.
        version: As people write it, such as 17.2.
        in_recovery: Whether it is a standby.
        clock: Its time, in seconds since 1970.
    """

    role: str
    version: str
    database: str
    read_only: bool
    in_recovery: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    clock: float


class LogSeen(NamedTuple):
    """The log: see `checkup/log.sql`."""

    identity: str | None
    increment: int | None
    cache: int | None
    cycles: bool | None
    drawn: int
    horizon: int
    last: int
    unlogged: Sequence[str]
    disabled: Sequence[str]
    public: Sequence[str]
    bytes: int
    oldest_seconds: float | None
    drawable: bool = True
    replicas: Sequence[str] = ()
    strange: Sequence[str] = ()


class Rights(NamedTuple):
    """What a role may do with a table or a view."""

    role: str
    me: bool
    usage: bool
    table: str
    is_view: bool
    privileges: frozenset[str]

    @property
    def is_readable(self) -> bool:
        """Whether it may read it."""
        return self.usage and "SELECT" in self.privileges


class ProcessesSeen(NamedTuple):
    """When the processes of a bridge were at work last: see `checkup/processes.sql`."""

    pump_seconds: float | None
    clock_host: str | None
    clock_ahead_seconds: float | None
    collector_seconds: float | None
    beats: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSeen:
    """A client, as far as `doctor` looks at it: see `checkup/clients.sql`."""

    id: str
    bridge: str
    task: str | None
    tasks: tuple[str, ...]
    routes: tuple[tuple[str, str], ...]
    queue: str
    topics: tuple[str, ...]
    serializer: str
    ack_timeout_seconds: float
    batch: int
    batch_as: str
    report_by: str
    state: str
    state_reason: str | None
    state_seconds: float | None
    released: bool
    trouble: str | None
    delivered: int
    offset: int
    age_seconds: float
    parked: int


class Waits(NamedTuple):
    """What keeps the bridge waiting.

    Attributes:
        tables: Who lets nobody read a table.
        blockers: Transactions of others that sessions of the bridge wait for.
        standby: Since when commits have waited for a synchronous standby; None where none does.
    """

    tables: tuple[TableHolder, ...] = ()
    blockers: tuple[Holder, ...] = ()
    standby: StandbyWait | None = None

    def __bool__(self) -> bool:
        """Tell whether there is anything of this kind."""
        return bool(self.tables or self.blockers or self.standby)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSeen:
    """What Postgres says.

    Attributes:
        server: What it is.
        schema_trouble: Why this code can't work with the schema; what follows is empty then.
        unreadable: Tables that this session's role may not read; all but `rights` is empty then.
        log: The log and its sequence.
        rights: What this session's role and those of `migrate --roles` may do.
        processes: When the bridge's processes were at work.
        clients: The clients, in the order of their ids.
        topics: The topics of the log; None if there are too many.
        secret_seconds: The age of the key that the database keeps; None where this role may not know.
        marks: How bridges and brokers get on.
        holders: Transactions that the horizon waits for, the oldest first.
        waits: What the bridge itself waits for.
    """

    server: ServerSeen
    schema_trouble: str = ""
    unreadable: tuple[str, ...] = ()
    log: LogSeen | None = None
    rights: tuple[Rights, ...] = ()
    processes: ProcessesSeen | None = None
    clients: tuple[ClientSeen, ...] = ()
    topics: tuple[str, ...] | None = ()
    secret_seconds: float | None = None
    marks: tuple[MarkStatus, ...] = ()
    holders: tuple[Holder, ...] = ()
    waits: Waits = field(default_factory=Waits)


def look_at_server(connection: Connection) -> ServerSeen:
    """Ask the server what it is."""
    return ServerSeen(**connection.execute(statement("checkup/server")).mappings().one())


def look_at_database(store: Store, *, bridge: str, interval_seconds: float = 1.0) -> DatabaseSeen:
    """Look at all that one bridge rests on; this changes nothing.

    Args:
        store: The event log.
        bridge: The bridge's name.
        interval_seconds: How often its beat starts the pump.

    Raises:
        BridgeError: Postgres does not answer, or refuses to tell.
    """
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        server, rights = look_at_server(connection), tuple(_rights(connection))
    if unreadable := [it.table for it in rights if it.me and it.table != "settings" and not it.is_readable]:
        return DatabaseSeen(server=server, rights=rights, unreadable=tuple(unreadable))
    waits = look_at_waits(store)
    try:
        check_schema(store.engine)
    except SchemaError as error:
        return DatabaseSeen(server=server, schema_trouble=one_line(str(error)))
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        if gone := missing(connection):
            return DatabaseSeen(server=server, schema_trouble=gone)
        topics = tuple(connection.execute(statement("checkup/topics"), {"most": MOST_TOPICS + 1}).scalars())
        holders = connection.execute(statement("look/horizon_holders")).mappings()
        return DatabaseSeen(
            server=server,
            log=LogSeen(**connection.execute(statement("checkup/log")).mappings().one()),
            rights=rights,
            processes=look_at_processes(connection, bridge=bridge, interval_seconds=interval_seconds),
            clients=tuple(_client(row) for row in connection.execute(statement("checkup/clients")).mappings()),
            topics=topics if len(topics) <= MOST_TOPICS else None,
            secret_seconds=_secret_seconds(connection, rights),
            marks=tuple(list_marks(connection)),
            holders=tuple(Holder(**row) for row in holders),
            waits=waits,
        )


def look_at_waits(store: Store) -> Waits:
    """Tell what keeps the bridge waiting; this waits for no lock itself."""
    held = tuple(table_holders(store, seconds=LOCKED_SECONDS))
    with store.reading() as connection:
        return Waits(held, blockers(connection), standby_wait(connection))


def look_at_processes(connection: Connection, *, bridge: str, interval_seconds: float = 1.0) -> ProcessesSeen:
    """Tell when the pump and the collectors of a bridge were at work, and which beats at once."""
    beat_holds = beat_holds_seconds(interval_seconds)
    binds = {"bridge": bridge, "collector_holds": COLLECTOR_HOLDS_SECONDS, "beat_holds": beat_holds}
    return ProcessesSeen(**connection.execute(statement("checkup/processes"), binds).mappings().one())


def contradiction(store: Store, mark: Mark, *, bridge: str) -> str:
    """Say what the broker's mark proves to be wrong, whatever others do meanwhile; mostly nothing.

    Args:
        store: The event log.
        mark: As it was read from the broker before. Postgres is raised first, so it can only be behind.
        bridge: The bridge's name.
    """
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        binds = {"bridge": bridge, "broker_id": mark.broker_id}
        log, generation, count = connection.execute(statement("checkup/marks"), binds).one()
    if mark.log != log:
        return "other-log"
    if mark.generation > generation or (count is not None and mark.count > count):
        return "mark-ahead"
    return ""


def _rights(connection: Connection) -> list[Rights]:
    rows = connection.execute(statement("checkup/rights"), {"roles": list(GRANTS)})
    return [Rights(**{**row, "privileges": frozenset(row["privileges"])}) for row in rows.mappings()]


def _secret_seconds(connection: Connection, rights: Sequence[Rights]) -> float | None:
    if not any(it.me and it.table == "settings" and it.is_readable for it in rights):
        return None
    seconds: float | None = connection.execute(statement("checkup/secret")).scalar_one_or_none()
    return seconds


def _client(row: Mapping[Any, Any]) -> ClientSeen:
    values = {name: row[name] for name in ClientSeen.__slots__}
    values |= {name: tuple(values[name] or ()) for name in ("tasks", "topics")}
    values["routes"] = tuple((str(pattern), str(task)) for pattern, task in _pairs(values["routes"]))
    return ClientSeen(**values)


def _pairs(routes: Any) -> list[Any]:
    """Return those of a client's routes that are such: plain SQL may have written anything."""
    return [it for it in routes if isinstance(it, list) and len(it) == 2]

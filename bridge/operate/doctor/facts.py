"""The facts that checks look at, and what could not be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from bridge.broker.checkup import BrokerSeen
from bridge.broker.fleet import FleetSeen
from bridge.settings.bridge import BridgeSettings
from bridge.store.checkup import ClientSeen, DatabaseSeen, LogSeen, ProcessesSeen
from bridge.store.pooler import PoolerSeen

# `log`: the database with a schema that this code knows; `workers`: the fleet, and somebody answered.
Source = Literal["database", "log", "pooler", "broker", "mark", "fleet", "workers", "code"]
Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Unasked:
    """What could not be asked, and why; and what to do, where that is known."""

    why: str
    do: str = ""


class AppSeen(NamedTuple):
    """The app that the doctor runs in.

    Attributes:
        name: What to call it.
        eager: Whether `task_always_eager` is on.
        accept_content: The serializers that its workers take.
        slow_ways: Why it can't take fast ways, by their names.
    """

    name: str
    eager: bool
    accept_content: tuple[str, ...] | None
    slow_ways: Mapping[str, str]


class MarkSeen(NamedTuple):
    """What the broker's mark proves.

    Attributes:
        kept: Whether the broker keeps a mark at all.
        there: Whether it has one of this bridge.
        contradiction: `other-log`, `mark-ahead`, or empty.
        log: The log that the mark names.
    """

    kept: bool
    there: bool
    contradiction: str = ""
    log: str = ""


class ArchiveSeen(NamedTuple):
    """The archive of old events that `bridge_archive` names.

    Attributes:
        files: How many there are of this log.
        first: The first offset in them; None where there is no file.
        last: The last one.
        newest_seconds: The age of the newest file.
    """

    files: int
    first: int | None = None
    last: int | None = None
    newest_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was gathered.

    Attributes:
        settings: The bridge's settings.
        app: The app.
        declared: The ids of the clients that the app's code declares.
        database: What Postgres says.
        clock_ahead_seconds: By how much this machine's clock is ahead of Postgres'; None where it was not asked.
        pooler: What stands between this machine and Postgres.
        broker: What the broker says.
        mark: What the broker's mark proves.
        fleet: What the workers say.
        archive: What is in the archive; None where none is set.
    """

    settings: BridgeSettings
    app: AppSeen
    declared: frozenset[str] | Unasked
    database: DatabaseSeen | Unasked
    clock_ahead_seconds: float | None
    pooler: PoolerSeen | Unasked
    broker: BrokerSeen | Unasked
    mark: MarkSeen | Unasked
    fleet: FleetSeen | Unasked
    archive: ArchiveSeen | Unasked | None = None

    def why_not(self, source: Source) -> str:
        """Say why a source could not be asked; nothing where it was."""
        match source:
            case "log":
                if isinstance(self.database, DatabaseSeen) and self.database.log is None:
                    if self.database.unreadable:
                        return f"role {self.database.server.role} may not read the bridge's tables"
                    return "the schema is not the one that this code knows"
                return self.why_not("database")
            case "workers":
                if isinstance(self.fleet, FleetSeen) and not self.fleet.workers:
                    return "no worker answers"
                return self.why_not("fleet")
            case "code":
                found: object = self.declared
            case _:
                found = getattr(self, source)
        return found.why if isinstance(found, Unasked) else ""

    def blocked(self, source: Source) -> str:
        """Say in a few words why a check that needs a source can't look: the check of the server itself says more."""
        why = self.why_not(source)
        if why and isinstance(self.pooler, Unasked) and source in ("database", "log", "pooler"):
            return "Postgres can't be asked"
        if why and isinstance(self.broker, Unasked) and source in ("broker", "mark", "fleet", "workers"):
            return "the broker can't be asked"
        return why

    @property
    def db(self) -> DatabaseSeen:
        """The database; only for checks that need it."""
        return _seen(self.database)

    @property
    def log(self) -> LogSeen:
        """The log; only for checks that need it."""
        assert self.db.log is not None
        return self.db.log

    @property
    def processes(self) -> ProcessesSeen:
        """The bridge's processes; only for checks that need the log."""
        assert self.db.processes is not None
        return self.db.processes

    @property
    def pool(self) -> PoolerSeen:
        """The pooler; only for checks that need it."""
        return _seen(self.pooler)

    @property
    def brk(self) -> BrokerSeen:
        """The broker; only for checks that need it."""
        return _seen(self.broker)

    @property
    def workers(self) -> FleetSeen:
        """The workers; only for checks that need them."""
        return _seen(self.fleet)

    @property
    def served(self) -> list[ClientSeen]:
        """The clients that this bridge serves; only for checks that need the log."""
        return [it for it in self.db.clients if it.task is not None and it.bridge == self.settings.queue]

    @property
    def stopped(self) -> bool:
        """Whether something stops the pump that another check tells of; only for checks that need the log."""
        log, mark = self.log, self.mark
        marked = any(it.trouble for it in self.db.marks if it.bridge == self.settings.queue)
        contradicted = isinstance(mark, MarkSeen) and bool(mark.contradiction)
        waits = bool(self.db.waits)
        return waits or self.db.server.read_only or log.drawn < max(log.horizon, log.last) or marked or contradicted


def _seen(found: Seen | Unasked) -> Seen:
    assert not isinstance(found, Unasked)
    return found

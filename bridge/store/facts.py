"""The SQL of explaining where a client stands. It collects what there is to know, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.errors import UnknownClient
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.handover import MOST_TOPICS
from bridge.store.locks import LOOK_LOCK_SECONDS, Holder, StandbyWait, blockers, standby_wait
from bridge.store.marks import MarkStatus, list_marks
from bridge.store.status import MOST_EVENTS_COUNTED

MOST_KEYS = 3
HELD_SECONDS = 2.0  # a transaction that has a client's row for longer is in the way


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelivery:
    """A delivery that is open.

    Attributes:
        age_seconds: Since it was first handed over.
        sent_seconds: Since it was last handed over.
        due_seconds: Until its lease, or its wait for the next attempt, ends; negative where that is over.
        waited_seconds: Since the last look after the end of its lease that renewed it; None if none did.
        waits: Whether its message might still wait in the queue at that look; else it had just left.
        failed: Whether its last attempt has failed. One that waits for its next attempt and did not fail was lost.
        error_type: Name of its last exception, where an attempt has failed.
        error: The message of that exception.
    """

    offset: int
    epoch: int
    attempt: int
    state: str
    key: str | None
    age_seconds: float
    sent_seconds: float
    due_seconds: float
    waited_seconds: float | None
    waits: bool
    failed: bool
    error_type: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingKey:
    """A key that waits.

    Attributes:
        offset: Its next event; None if there is none, and only a parked event holds it.
        blocker: The event in its way; None if there is none.
        parked: Whether that event is parked, and waits for a person.
        reason: Why it was parked.
        redrive: Whether it is to go out again.
    """

    key: str
    offset: int | None
    blocker: int | None
    epoch: int | None
    attempt: int | None
    parked: bool | None
    reason: str | None
    redrive: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningReplay:
    """A replay that is not at its end.

    Attributes:
        next: The offset at which it goes on.
        upto: Its last offset.
        per_second: Most events in a second.
        sent: How many events have gone out.
        aside: How many events, or keys, wait aside until what is open ends.
    """

    id: int
    epoch: int
    next: int
    upto: int
    per_second: float
    sent: int
    aside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """What the database knows about one client; the names are those of `client_facts.sql`.

    Attributes:
        drawn: The last offset that was given to an event, committed or not.
        pump_silent_seconds: Since a pump was last at work; negative while one lingers, None if none ever was.
        read_only: Whether the database takes no writes.
        in_recovery: Whether that is so because it is a standby.
        clock_ahead_seconds: By how much the clock of a pump's host is ahead of Postgres'; None if no pump told.
        clock_host: That host.
        awaited: Deliveries that were handed over more than five seconds ago, and not answered.
        matched: Whether the log has an event that matches its topics; None where that is not known.
        unread: Matching events above `dispatched`, counted up to `MOST_EVENTS_COUNTED`.
        waiting: Keys that wait.
        held: Parked events that hold their key.
        redriving: Parked events that are to go out again.
        holders: Transactions that the horizon waits for.
        blockers: Transactions of others that sessions of the bridge wait for.
        lockers: Who holds the client's row, so that nobody else gets it.
        marks: How bridges and brokers get on.
        rate: Most events in a second, minute or hour, as `100/s`; empty where there is no limit.
        tokens: How many events may go out at once now; None where there is no limit.
        token_seconds: Until its bucket wakes the client; 0 if it has enough tokens.
        ready: Keys whose next event may go out.
        scheduled_late_seconds: Since when the first scheduled event is due that is not in the log; None where none is
            scheduled, negative where none is due.
        scheduled_held: Whether Postgres refused to append it, so that it is tried again later.
        standby: Since when commits have waited for a synchronous standby; None where none does.
    """

    client: str
    bridge: str
    task: str | None
    tasks: list[str]
    queue: str
    topics: list[str]
    batch: int
    state: str
    state_reason: str | None
    state_by: str | None
    state_at: datetime | None
    report_by: str
    ordering: str
    window: int
    offset: int
    dispatched: int
    max_attempts: int
    trouble: str | None
    trouble_at: datetime | None
    horizon: int
    drawn: int
    pump_silent_seconds: float | None
    open: int
    awaited: int
    retrying: int
    parked: int
    held: int
    redriving: int
    waiting: int
    unread: int
    unread_seconds: float | None
    matched: bool | None = None
    read_only: bool = False
    in_recovery: bool = False
    clock_ahead_seconds: float | None = None
    clock_host: str | None = None
    oldest: OpenDelivery | None = None
    next_retry: OpenDelivery | None = None
    keys: tuple[WaitingKey, ...] = ()
    holders: tuple[Holder, ...] = ()
    blockers: tuple[Holder, ...] = ()
    replays: tuple[RunningReplay, ...] = ()
    lockers: tuple[Holder, ...] = ()
    marks: tuple[MarkStatus, ...] = ()
    rate: str = ""
    tokens: float | None = None
    token_seconds: float | None = None
    ready: int = 0
    scheduled_late_seconds: float | None = None
    scheduled_held: bool = False
    standby: StandbyWait | None = None


def collect_facts(store: Store, client: str) -> ClientFacts:
    """Collect what there is to know about a client; this changes nothing.

    Raises:
        UnknownClient: no such client.
        StoreLocked: somebody lets nobody read a table of the bridge.
    """
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        binds = {"client": client, "most": MOST_EVENTS_COUNTED}
        row = connection.execute(statement("look/client_facts"), binds).mappings().one_or_none()
        if row is None:
            raise UnknownClient(client)
        oldest = next_retry = None
        for found in connection.execute(statement("look/delivery_facts"), {"client": client}).mappings():
            values = dict(found)
            is_oldest, is_next = values.pop("oldest"), values.pop("next")
            oldest = OpenDelivery(**values) if is_oldest else oldest
            next_retry = OpenDelivery(**values) if is_next else next_retry
        keys = connection.execute(statement("look/key_facts"), {"client": client, "most": MOST_KEYS}).mappings()
        holders = connection.execute(statement("look/horizon_holders")).mappings()
        in_the_way = {"client": client, "seconds": HELD_SECONDS}
        lockers = connection.execute(statement("look/client_holders"), in_the_way).mappings()
        replays = connection.execute(statement("look/list_replays"), {"client": client}).mappings()
        matched = connection.execute(statement("look/topics_matched"), {"client": client, "topics": MOST_TOPICS})
        return ClientFacts(
            **row,
            matched=matched.scalar_one_or_none(),
            oldest=oldest,
            next_retry=next_retry,
            keys=tuple(WaitingKey(**found) for found in keys),
            holders=tuple(Holder(**found) for found in holders),
            blockers=blockers(connection),
            replays=tuple(RunningReplay(**found) for found in replays),
            lockers=tuple(Holder(**found) for found in lockers),
            marks=tuple(list_marks(connection)),
            standby=standby_wait(connection),
        )

"""G1, G6: whatever is interleaved, restored and lost, the marks raise no false alarm, and miss no database set back.

The model plays pumps that stop at every step, and both servers with their snapshots. What decides is the bridge's own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from bridge.mark import NOTHING_SEEN, Mark, Seen
from bridge.marks.acting import Renewed, renewed
from bridge.marks.compare import Ahead, Fine, First, Lost, Pending, Verdict, compare
from bridge.store.marks import LogFacts, OurMark

BROKER = "redis://here/0"
NUMBER = st.integers(0, 1)  # of a pump
EMPTY = OurMark(
    broker=BROKER,
    broker_id=None,
    count=0,
    nonce=None,
    before=None,
    fresh=False,
    system=None,
    timeline=None,
    seen=NOTHING_SEEN,
    holder=None,
    serving=False,
    seen_seconds=0,
    lost_at=None,
    trouble=None,
)


@dataclass(frozen=True)
class Database:
    """Postgres: the events by offset, how far they were handed over, and its mark."""

    events: tuple[tuple[int, int], ...] = ()  # offset, created_us
    dispatched: int = -1
    mark: OurMark = EMPTY
    version: int = 0  # grows with each commit


@dataclass(frozen=True)
class Broker:
    """The broker: its mark, and what the pumps noted beside it."""

    mark: Mark | None = None
    seen: Seen = NOTHING_SEEN
    version: int = 0


@dataclass
class Process:
    """A pump: what it has in hand between Postgres' commit and the broker, and what it remembers."""

    put: tuple[Mark | None, Renewed] | None = None
    vouched: int = -1  # the incarnation of Postgres that it has compared
    remembered: int = 0
    last: Seen = NOTHING_SEEN  # the log's last event when it looked for work
    noted: Seen = NOTHING_SEEN
    dispatching: int | None = field(default=None)  # sent, and not committed yet


class Marks(RuleBasedStateMachine):
    """Pumps at work on one log and one broker."""

    def __init__(self) -> None:
        super().__init__()
        self.database, self.broker = Database(), Broker()
        self.databases, self.brokers = [self.database], [self.broker]
        self.processes = [Process(), Process()]
        self.times = itertools.count(1)
        self.incarnation = 0
        self.set_back = False  # the database has lost commits, and nobody has resynced
        self.broker_set_back = False
        self.handed: set[tuple[int, int]] = set()  # events that went out

    def commit(self, **changes: object) -> None:
        version = self.database.version + 1
        self.database = replace(self.database, version=version, **changes)  # type: ignore[arg-type]

    @rule()
    def publish(self) -> None:
        offset = self.database.events[-1][0] + 1 if self.database.events else 1
        self.commit(events=(*self.database.events, (offset, next(self.times))))

    @rule(number=NUMBER, stops=st.sampled_from([False, False, True]))
    def look(self, number: int, *, stops: bool) -> None:
        """Compare and renew; a process that stops between the two goes on at any later time."""
        self.compare(number)
        if not stops:
            self.put(number)

    def compare(self, number: int) -> None:
        process = self.processes[number]
        if process.put is not None or process.dispatching is not None:
            return
        database, theirs = self.database, self.broker.mark
        if theirs is not None:
            theirs = theirs.with_seen(self.broker.seen)
        facts = LogFacts(
            log="log",
            generation=1,
            pruned=-1,
            dispatched=database.dispatched,
            horizon=0,
            system=None,
            timeline=None,
            started=str(self.incarnation),
        )
        event = None
        if theirs is not None and theirs.seen.offset in dict(database.events):
            event = Seen(theirs.seen.offset, dict(database.events)[theirs.seen.offset])
        found = compare(facts, [database.mark], theirs, broker=BROKER, event=event, remembered=process.remembered)
        self.check(found)
        if isinstance(found, Ahead):
            process.vouched = -1
            return
        new = renewed("bridge", facts, database.mark, theirs, found)
        row = replace(
            database.mark,
            broker_id=new.mark.broker_id,
            count=new.mark.count,
            nonce=new.mark.nonce,
            before=new.before,
            fresh=new.fresh,
            seen=new.mark.seen,
            serving=True,
        )
        self.commit(mark=row)
        process.put = (self.broker.mark, new)
        process.remembered = max(process.remembered, row.count)
        process.vouched = self.incarnation

    def check(self, found: Verdict) -> None:
        """See that the verdict has a reason, and that no database is taken for good that a witness speaks against."""
        assert isinstance(found, Fine | Pending | First | Lost | Ahead)
        if isinstance(found, Ahead):
            assert self.set_back, "a false alarm"
        if isinstance(found, Lost):
            assert self.broker_set_back or self.set_back, "nothing was lost"
        missing = self.handed - set(self.database.events)
        if missing and not self.broker_set_back:
            assert isinstance(found, Ahead), f"outcomes of {missing} would be settled"

    @rule(number=NUMBER)
    def put(self, number: int) -> None:
        process = self.processes[number]
        if process.put is None:
            return
        (read, new), process.put = process.put, None
        if self.broker.mark == read:  # the broker's own compare-and-set
            seen = NOTHING_SEEN if new.anew else self.broker.seen
            self.broker = Broker(new.mark, seen, self.broker.version + 1)

    @rule(number=NUMBER)
    def work(self, number: int) -> None:
        """Make a whole pass."""
        self.advance(number)
        self.send(number)
        self.commit_pass(number)

    @rule(number=NUMBER)
    def advance(self, number: int) -> None:
        if self.database.events:
            self.processes[number].last = Seen(*self.database.events[-1])

    @rule(number=NUMBER)
    def send(self, number: int) -> None:
        process = self.processes[number]
        if process.vouched != self.incarnation or process.put is not None or process.last.offset < 0:
            return
        process.dispatching = process.last.offset
        self.handed |= {event for event in self.database.events if event[0] <= process.last.offset}
        if process.last > process.noted:
            process.noted = process.last
            seen = max(self.broker.seen, process.last)
            self.broker = replace(self.broker, seen=seen, version=self.broker.version + 1)

    @rule(number=NUMBER)
    def commit_pass(self, number: int) -> None:
        process = self.processes[number]
        if process.dispatching is not None and process.vouched == self.incarnation:
            self.commit(dispatched=max(self.database.dispatched, process.dispatching))
        process.dispatching = None

    @rule(number=NUMBER)
    def crash(self, number: int) -> None:
        self.processes[number] = Process()

    @rule()
    def snapshot(self) -> None:
        self.databases.append(self.database)
        self.brokers.append(self.broker)

    @precondition(lambda self: not self.set_back)
    @rule(nth=st.integers(0, 20))
    def restore_database(self, nth: int) -> None:
        old = self.databases[nth % len(self.databases)]
        self.set_back = self.set_back or old.version != self.database.version
        self.database, self.incarnation = old, self.incarnation + 1
        for process in self.processes:
            process.dispatching, process.last = None, NOTHING_SEEN

    @rule()
    def restart_database(self) -> None:
        self.incarnation += 1

    @rule()
    def restore_broker(self) -> None:
        self.broker_set_back = self.broker_set_back or self.brokers[-1].version != self.broker.version
        self.broker = self.brokers[-1]

    @rule()
    def empty_broker(self) -> None:
        self.broker_set_back, self.broker = True, Broker()


Marks.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestMarks = Marks.TestCase

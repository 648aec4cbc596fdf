"""The database: whether it takes writes, who makes the bridge wait for a lock, and whether clocks agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.operate.explain.cause import Cause, field_data
from bridge.operate.explain.log import say_holder
from bridge.store.checkup import Waits
from bridge.store.facts import ClientFacts
from bridge.store.locks import BESIDE, Holder, StandbyWait, TableHolder
from bridge.store.rounds import SKEW_SECONDS
from bridge.wording import span


def explain_read_only(facts: ClientFacts) -> Iterator[Cause]:
    """Say that nothing can be written, so nothing can be handed over or settled."""
    if not facts.read_only:
        return
    why, do = "default_transaction_read_only is on", "set it back when the fail-over or the maintenance is over"
    if facts.in_recovery:
        why, do = "it is a standby", "promote it, or let bridge_database_url name the primary"
    yield Cause(
        kind="read-only",
        severity="error",
        text=f"the database takes no writes: {why}, so nothing is handed over or settled for any client",
        do=f"{do}; the bridge tries again and loses nothing",
        data={"in_recovery": facts.in_recovery},
    )


def explain_locks(facts: ClientFacts) -> Iterator[Cause]:
    """Say who holds a lock that the bridge needs for all of its clients."""
    told = {(holder.pid, holder.gid) for holder in facts.lockers}  # of the client's own row
    for holder in facts.blockers:
        if (holder.pid, holder.gid) not in told:
            yield explain_blocker(holder)


def explain_blocker(holder: Holder) -> Cause:
    """Say whose lock the bridge waits for."""
    who, do = say_holder(holder)
    text = f"the bridge is held up by a lock of {who}"
    return Cause(kind="locked", severity="error", text=text, do=do, data=field_data(holder))


def explain_standby(wait: StandbyWait | None) -> Iterator[Cause]:
    """Say that commits wait for a synchronous standby, so that nothing comes to an end."""
    if wait is None:
        return
    yield Cause(
        kind="standby",
        severity="error",
        text=f"commits have waited for {span(wait.seconds)} for a synchronous standby ({wait.names}) that does not "
        "answer: nothing is published, handed over or settled until it does",
        do="bring the standby back; or take it out of synchronous_standby_names (ALTER SYSTEM SET …), and SELECT "
        "pg_reload_conf()",
        data={"seconds": wait.seconds, "commits": wait.commits, "names": wait.names},
    )


def explain_tables(held: Sequence[TableHolder]) -> list[Cause]:
    """Say who lets nobody read a table, so that no more than this can be said."""
    causes = []
    for table, holder, queued in held:
        who, do = say_holder(holder)
        why = f"a lock of all of it waits for {who}, and everybody behind it" if queued else f"{who} has locked it"
        then = "what needs it waits" if table in BESIDE else "nothing is handed over or settled"
        text = f"nobody can read {table}: {why}, so {then}"
        causes.append(Cause(kind="locked", severity="error", text=text, do=do, data=field_data(holder)))
    return causes


def explain_waits(waits: Waits) -> list[Cause]:
    """Say what keeps the bridge waiting, each transaction once."""
    tables = explain_tables(waits.tables)
    told = {it.data["pid"] for it in tables}
    return [
        *explain_standby(waits.standby),
        *tables,
        *map(explain_blocker, (it for it in waits.blockers if it.pid not in told)),
    ]


def explain_clocks(facts: ClientFacts) -> Iterator[Cause]:
    """Say that the clock of a pump's host and that of Postgres differ."""
    ahead = facts.clock_ahead_seconds
    if ahead is None or abs(ahead) <= SKEW_SECONDS:
        return
    where = f"{span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} that of Postgres"
    yield Cause(
        kind="clock",
        severity="warning",
        text=f"the clock of {facts.clock_host}, where a pump runs, is {where}",
        do="let NTP set both; the bridge does without it, while logs, schedules and tasks with an eta do not",
        data={"host": facts.clock_host, "ahead_seconds": ahead},
    )

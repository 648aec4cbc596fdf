"""The database: whether it takes writes, who makes the bridge wait for a lock, and whether clocks agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.operate.explain.cause import Cause, field_data
from bridge.operate.explain.log import say_holder
from bridge.store.facts import ClientFacts
from bridge.store.locks import TableHolder
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
        if (holder.pid, holder.gid) in told:
            continue
        who, do = say_holder(holder)
        yield Cause(
            kind="locked",
            severity="error",
            text=f"the bridge is held up by a lock of {who}",
            do=do,
            data=field_data(holder),
        )


def explain_tables(held: Sequence[TableHolder]) -> list[Cause]:
    """Say who lets nobody read a table, so that no more than this can be said."""
    causes = []
    for table, holder, queued in held:
        who, do = say_holder(holder)
        why = f"a lock of all of it waits for {who}, and everybody behind it" if queued else f"{who} has locked it"
        text = f"nobody can read {table}: {why}, so nothing is handed over or settled"
        causes.append(Cause(kind="locked", severity="error", text=text, do=do, data=field_data(holder)))
    return causes


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

"""The log: what holds it back, for every client alike."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.explain.cause import Cause, field_data
from bridge.store.facts import ClientFacts
from bridge.store.locks import Holder
from bridge.wording import counted, moment, span

MOST_QUERY_CHARACTERS = 120
MOST_HOLDERS = 3
LATE_SECONDS = 5.0  # a pump looks for what is due once a second


def explain_rewind(facts: ClientFacts) -> Iterator[Cause]:
    """Say that the sequence of events is behind what was handed over."""
    if facts.drawn < facts.horizon:
        yield Cause(
            kind="rewound",
            severity="error",
            text=f"the sequence of fq.events stands at {facts.drawn}, behind the horizon {facts.horizon}: events may "
            "have been lost in a restore or failover, so nothing is handed over to any client",
            do="`eventbridge resync` says what was lost, and goes on with `--yes`",
            data={"drawn": facts.drawn, "horizon": facts.horizon},
        )


def explain_horizon(facts: ClientFacts) -> Iterator[Cause]:
    """Say which transactions have written events and not ended."""
    if facts.drawn <= facts.horizon or not facts.holders:
        return
    for holder in facts.holders[:MOST_HOLDERS]:
        who, do = say_holder(holder)
        yield Cause(
            kind="horizon-held",
            severity="warning",
            text=f"the horizon stands at {facts.horizon}, and offsets up to {facts.drawn} are drawn: {who} has written "
            "events and not ended, so an event may still appear between the others",
            do=do,
            data=field_data(holder),
        )
    if len(facts.holders) > MOST_HOLDERS:
        others = counted(len(facts.holders) - MOST_HOLDERS, "younger transaction holds", "younger transactions hold")
        yield Cause(kind="horizon-held", severity="warning", text=f"{others} the horizon too")


def explain_scheduled(facts: ClientFacts) -> Iterator[Cause]:
    """Say that a scheduled event is due, and not in the log."""
    late = facts.scheduled_late_seconds or 0
    if late <= LATE_SECONDS:
        return
    why = ": Postgres refused to append it, and it is tried again" if facts.scheduled_held else ""
    yield Cause(
        kind="scheduled-late",
        severity="warning",
        text=f"a scheduled event is late: it was due {span(late)} ago, and is not in the log yet{why}",
        do="`eventbridge scheduled` shows it; a pump appends what is due: what does the log of the bridge worker say?",
        data={"late_seconds": late, "held": facts.scheduled_held},
    )


def explain_size(warning: str) -> Iterator[Cause]:
    """Say that the log comes near the size that it may have."""
    if warning:
        yield Cause(kind="log-large", severity="warning", text=warning)


def say_holder(holder: Holder) -> tuple[str, str]:
    """Say who holds something that others wait for, and how to end it."""
    age = "" if holder.age_seconds is None else f" of {span(holder.age_seconds)} ago"
    role = f" of {holder.role}" if holder.role else ""
    if holder.pid is None:
        if holder.gid is None:
            return "a prepared transaction", "see pg_prepared_xacts"
        end = f"in this database, COMMIT PREPARED or ROLLBACK PREPARED {_quoted(holder.gid)}"
        return f"the prepared transaction {_quoted(holder.gid)}{role}{age}", end
    application = f" ({holder.application})" if holder.application else ""
    state = f", {holder.state}" if holder.state else ""
    query = " ".join((holder.query or "").split())
    doing = ""
    if query and holder.query_start:
        doing = f", its query since {moment(holder.query_start)}: {query[:MOST_QUERY_CHARACTERS]}"
    who = f"the transaction{age} of pid {holder.pid}{application}{role}{state}{doing}"
    return who, f"let it commit or roll back, or SELECT pg_terminate_backend({holder.pid})"


def _quoted(gid: str) -> str:
    return "'" + gid.replace("'", "''") + "'"

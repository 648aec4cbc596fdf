"""The log: what holds it back, for every client alike."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.explain.cause import Cause, mapping
from bridge.store.facts import Facts, Holder
from bridge.wording import counted, moment, span

MOST_QUERY = 120  # characters of a query that are shown
MOST_HOLDERS = 3


def rewound(facts: Facts) -> Iterator[Cause]:
    """The sequence of events is behind what was handed over."""
    if facts.drawn < facts.horizon:
        yield Cause(
            kind="rewound",
            text=f"the sequence of fq.events stands at {facts.drawn}, behind the horizon {facts.horizon}: nothing is handed "
            "over to anybody, because events may have been lost in a restore or failover",
            do="find out what was lost, then `bridge resync`",
            data={"drawn": facts.drawn, "horizon": facts.horizon},
        )


def horizon(facts: Facts) -> Iterator[Cause]:
    """Transactions that have written events and not ended."""
    if facts.drawn <= facts.horizon or not facts.holders:
        return
    for holder in facts.holders[:MOST_HOLDERS]:
        who, do = _holder(holder)
        yield Cause(
            kind="horizon-held",
            text=f"the horizon stands at {facts.horizon}, and offsets up to {facts.drawn} are drawn: {who} has written "
            "events and not ended, and what it wrote may come below those that are there",
            do=do,
            data=mapping(holder),
        )
    if len(facts.holders) > MOST_HOLDERS:
        others = counted(len(facts.holders) - MOST_HOLDERS, "younger transaction holds", "younger transactions hold")
        yield Cause(kind="horizon-held", text=f"{others} the horizon too")


def _holder(holder: Holder) -> tuple[str, str]:
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
    doing = (
        f", its query since {moment(holder.query_start)}: {query[:MOST_QUERY]}" if query and holder.query_start else ""
    )
    who = f"the transaction{age} of pid {holder.pid}{application}{role}{state}{doing}"
    return who, f"let it commit or roll back, or SELECT pg_terminate_backend({holder.pid})"


def _quoted(gid: str) -> str:
    return "'" + gid.replace("'", "''") + "'"

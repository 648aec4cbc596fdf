"""Whether the schema is the one that the code knows, and its sequence draws offsets in order."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.mark import RESYNC
from bridge.operate.doctor.facts import Facts
from bridge.operate.doctor.finding import Fault, some


def find_schema(facts: Facts) -> Iterator[Fault]:
    """Tell whether the tables and triggers are as the migrations have made them, and nobody else's beside them."""
    if facts.db.schema_trouble:
        text, _, do = facts.db.schema_trouble.partition(": ")
        yield Fault("at-risk", text, do or None)
        return
    if why := facts.why_not("log"):
        yield Fault("unknown", f"not looked at: {why}")
        return
    for name in facts.log.disabled:
        trigger, _, table = name.partition(" of ")
        yield Fault(
            "at-risk",
            f"the trigger {name} is disabled, which keeps the log and the cursors right",
            f"as the owner: ALTER TABLE {table} ENABLE TRIGGER {trigger}",
        )

    for name in facts.log.strange:
        yield Fault(
            "at-risk",
            f"the {name} is not the bridge's: it may swallow rows, whose events are never handed over or never parked",
            f"as the owner: DROP {name}; a trigger AFTER each row, or for each statement, does no harm",
        )

    if roles := facts.log.replicas:
        yield Fault(
            "at-risk",
            f"session_replication_role is replica for {some(list(roles))}: no trigger fires in its sessions",
            "as a superuser: ALTER ROLE (or ALTER DATABASE) … RESET session_replication_role",
        )


def find_sequence(facts: Facts) -> Iterator[Fault]:
    """Tell whether offsets are drawn in order, above all that the log had."""
    log = facts.log
    if log.identity != "a" or log.increment is None:
        yield Fault(
            "at-risk",
            'fq.events."offset" is not GENERATED ALWAYS AS IDENTITY any more, so offsets may come in any order',
            'as the owner: ALTER TABLE fq.events ALTER "offset" SET GENERATED ALWAYS (or ADD GENERATED ALWAYS AS '
            "IDENTITY where it is none, above the last offset)",
        )
    elif (log.increment, log.cache, log.cycles) != (1, 1, False):
        yield Fault(
            "at-risk",
            f"the sequence of fq.events has INCREMENT {log.increment}, CACHE {log.cache}"
            f"{', CYCLE' if log.cycles else ''}: offsets are not drawn in order, and events may be passed over",
            "as the owner: ALTER SEQUENCE fq.events_offset_seq INCREMENT 1 CACHE 1 NO CYCLE",
        )
    # A standby need not know what its sequence has drawn.
    if not facts.db.server.in_recovery and log.drawn < max(log.horizon, log.last):
        yield Fault(
            "at-risk",
            f"the sequence of fq.events stands at {log.drawn}, behind offset {max(log.horizon, log.last)} that the log "
            "had: the database was restored or failed over, so nothing is handed over",
            RESYNC,
        )

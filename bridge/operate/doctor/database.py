"""What Postgres is like: the server, the schema, the sequence, the roles, a pooler, and what holds the log."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.doctor.facts import ArchiveSeen, Facts, Unasked
from bridge.operate.doctor.finding import MOST_NAMED, Check, Fault, some
from bridge.operate.doctor.schema import find_schema, find_sequence
from bridge.operate.doctor.waits import find_waits
from bridge.operate.explain.log import say_holder
from bridge.retention.size import size_warning
from bridge.settings.amount import bytes_of, seconds_of
from bridge.store.pooler import PoolerSeen
from bridge.store.roles import GRANTS, needs
from bridge.wording import counted, span

HELD_SECONDS = 60.0  # a transaction that has written events and is open for longer is worth a word
SECRET_SECONDS = 365 * 86_400.0
SECRET_CHARACTERS = 16
LARGE_BYTES = 50e9  # of a log that nothing prunes
OVERDUE_SECONDS = 3600.0  # beyond `bridge_keep`


def _database(facts: Facts) -> Iterator[Fault]:
    if isinstance(facts.pooler, PoolerSeen) and facts.pooler.mode == "statement":
        yield Fault("unknown", "not looked at: the pooler takes no transactions")
        return
    if why := facts.why_not("database"):
        known = facts.database.do if isinstance(facts.database, Unasked) else ""
        do = "start Postgres, give it max_connections, or mend bridge_database_url; the bridge waits and loses nothing"
        yield Fault("at-risk", why, known or do)
        return
    if facts.db.server.read_only:
        why, do = "default_transaction_read_only is on", "set it back when the fail-over or the maintenance is over"
        if facts.db.server.in_recovery:
            why, do = "it is a standby", "promote it, or let bridge_database_url name the primary"
        yield Fault("at-risk", f"Postgres takes no writes: {why}, so nothing is handed over or settled", do)


def _database_fine(facts: Facts) -> str:
    server = facts.db.server
    return f"PostgreSQL {server.version}, database {server.database}, answers and takes writes"


def _durability(facts: Facts) -> Iterator[Fault]:
    server = facts.db.server
    if not server.fsync or not server.full_page_writes:
        off = " and ".join(
            name for name, on in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)) if not on
        )
        yield Fault(
            "at-risk",
            f"{off} {'are' if ' and ' in off else 'is'} off: a crash of the machine may destroy the log, which is the "
            "only copy of its events",
            "set fsync = on and full_page_writes = on in postgresql.conf, and reload it",
        )
    if server.synchronous_commit == "off":
        yield Fault(
            "warning",
            "synchronous_commit is off for this role: a crash loses what was committed in the last moments",
            f'ALTER ROLE "{server.role}" SET synchronous_commit = on',
        )
    for table in facts.log.unlogged:
        yield Fault(
            "at-risk", f"fq.{table} is UNLOGGED: a crash empties it", f"as the owner: ALTER TABLE fq.{table} SET LOGGED"
        )


def _roles(facts: Facts) -> Iterator[Fault]:
    again = "as the schema's owner: `eventbridge migrate --roles`"
    if not facts.db.rights:
        yield Fault("unknown", "not looked at: there is no schema of this code's")
    elif not _fits(facts):
        role = facts.db.server.role
        lacks = _lacks(facts, role, "fq_bridge")
        yield Fault(
            "at-risk",
            f"role {role} has the rights of no role of the bridge; for a bridge worker it lacks {some(lacks)}",
            f'{again}, then GRANT fq_bridge TO "{role}"',
            {"role": role, "lacks": lacks},
        )
    # Roles are those of the whole server: without a right on the schema, they are another database's.
    for role in sorted({it.role for it in facts.db.rights if it.usage} & set(GRANTS)):
        if lacks := _lacks(facts, role, role):
            text = f"role {role} lacks {some(lacks)}"
            yield Fault("at-risk", f"{text}, as after an upgrade", again, {"role": role, "lacks": lacks})
    if facts.db.log is not None and facts.db.log.public:
        yield Fault(
            "at-risk",
            f"PUBLIC, that is everybody, has rights on {some(['fq.' + it for it in facts.log.public])}",
            "as the owner: REVOKE ALL ON ALL TABLES IN SCHEMA fq FROM PUBLIC",
        )
    if facts.db.log is not None and not facts.log.drawable:
        yield Fault(
            "at-risk",
            "publishers may not look at the sequence fq.events_offset_seq, as after a pg_restore without privileges: "
            "who has no more than INSERT can't publish",
            f"{again}, or GRANT SELECT ON SEQUENCE fq.events_offset_seq TO PUBLIC",
        )


def _roles_fine(facts: Facts) -> str:
    role = facts.db.server.role
    fits = _fits(facts)
    if "fq_bridge" in fits:
        return f"role {role} may do all that a bridge worker does"
    return f"role {role} may do what {fits[0]} does, and no more; a bridge worker needs fq_bridge"


def _fits(facts: Facts) -> list[str]:
    """Name the roles of ours whose rights this session has."""
    role = facts.db.server.role
    return [it for it in ("fq_bridge", "fq_operator", "fq_monitor") if not _lacks(facts, role, it)]


def _lacks(facts: Facts, role: str, like: str) -> list[str]:
    """Say what a role lacks to do what one of ours does."""
    found = []
    for it in facts.db.rights:
        if it.role == role:
            missing = needs(like, it.table, is_view=it.is_view) - (it.privileges if it.usage else frozenset())
            found += [f"{privilege} on fq.{it.table}" for privilege in sorted(missing)]
    return found


def _pooler(facts: Facts) -> Iterator[Fault]:
    if facts.pool.mode == "statement":
        yield Fault(
            "at-risk",
            "the pooler is in statement mode and takes no transactions, so nothing of the bridge works",
            "set pool_mode = transaction for this database",
        )
    elif facts.pool.alone:
        why = "the pooler has only one server session to give: while the pump waits in it, nothing is settled"
        do = "set default_pool_size to 2 at least, better to twice the number of bridge workers"
        if facts.pool.mode == "session":
            why = "the pooler, which is in session mode, has no session for a second connection: its pool is used up"
            do = "set pool_mode = transaction for this database, or default_pool_size above the number of connections"
        yield Fault("at-risk", why, do)


def _pooler_fine(facts: Facts) -> str:
    modes = {
        "none": "no pooler: a direct connection",
        "transaction": "a pooler in transaction mode, with a session to spare",
        "session": "a pooler in session mode, with a session to spare",
    }
    return modes[facts.pool.mode]


def _horizon(facts: Facts) -> Iterator[Fault]:
    if facts.log.drawn <= facts.log.horizon:
        return
    for holder in facts.db.holders[:MOST_NAMED]:
        if (holder.age_seconds or 0) > HELD_SECONDS:
            who, do = say_holder(holder)
            yield Fault("warning", f"the horizon waits for {who}, which has written events and not ended", do)


def _secret(facts: Facts) -> Iterator[Fault]:
    chosen = facts.settings.secret
    if chosen and len(chosen) < SECRET_CHARACTERS:
        yield Fault(
            "warning",
            f"bridge_secret has {counted(len(chosen), 'character')}: who guesses it can report any event as done",
            "set a random one of 32 characters or more, such as that of `openssl rand -hex 32`, and restart the "
            "bridge workers",
        )
    elif not chosen and (facts.db.secret_seconds or 0) > SECRET_SECONDS:
        yield Fault(
            "warning",
            f"the secret that the database keeps is {span(facts.db.secret_seconds or 0)} old",
            "set bridge_secret to a new one, and restart the bridge workers: `eventbridge about secret` says how",
        )


def _secret_fine(facts: Facts) -> str:
    if facts.settings.secret:
        return "bridge_secret is set; only who has set it knows how old it is"
    if facts.db.secret_seconds is None:
        return "the database keeps the secret, and this role may not look at it"
    return f"the database keeps a random one, {span(facts.db.secret_seconds)} old"


def _retention(facts: Facts) -> Iterator[Fault]:
    settings, log = facts.settings, facts.log
    if settings.log_limit and (warning := size_warning(log.bytes, bytes_of(settings.log_limit))):
        text, _, do = warning.partition(": ")
        yield Fault("warning", text, do, {"bytes": log.bytes})
    elif not settings.log_limit and not settings.keep and log.bytes > LARGE_BYTES:
        yield Fault(
            "warning",
            f"the log has {log.bytes / 1e9:,.0f} GB, and nothing prunes it or warns of its size",
            "set bridge_keep, such as '90d', or bridge_log_limit, such as '200GB'",
            {"bytes": log.bytes},
        )
    if settings.keep and (log.oldest_seconds or 0) > seconds_of(settings.keep) + OVERDUE_SECONDS:
        yield Fault(
            "warning",
            f"bridge_keep is {settings.keep}, and the oldest event is {span(log.oldest_seconds or 0)} old: it is held, "
            "or no beat runs bridge.prune, or the archive refuses it",
            f"`eventbridge prune --older-than {settings.keep} --dry-run` says who holds it",
        )


def _retention_fine(facts: Facts) -> str:
    kept = f"for {facts.settings.keep}" if facts.settings.keep else "for ever"
    return f"events are kept {kept}; the log has {facts.log.bytes / 1e6:,.1f} MB"


def _archive(facts: Facts) -> Iterator[Fault]:
    if isinstance(facts.archive, Unasked):
        yield Fault(
            "warning",
            f"the archive can't be read: {facts.archive.why}. Nothing is removed unarchived: the log grows",
            "mend the place that bridge_archive names, or the rights on it; pruning goes on by itself",
        )


def _archive_fine(facts: Facts) -> str:
    seen = facts.archive
    if not isinstance(seen, ArchiveSeen):
        return "no archive is set: what is pruned is gone"
    if seen.first is None or seen.last is None:
        return "the archive answers, and has nothing of this log yet"
    newest = f", the newest {span(seen.newest_seconds)} old" if seen.newest_seconds is not None else ""
    files = counted(seen.files, "file")
    return f"the archive has {files} with events between offset {seen.first} and {seen.last}{newest}"


CHECKS = (
    Check("database", (), _database, _database_fine),
    Check("waits", ("log",), find_waits, lambda _: "nobody keeps the bridge waiting for a lock"),
    Check("schema", ("database",), find_schema, lambda _: "the schema fq is the one that this code knows"),
    Check("sequence", ("log",), find_sequence, lambda it: f"offsets are drawn in order, up to {it.log.drawn} now"),
    Check("durability", ("log",), _durability, lambda _: "what is committed survives a crash"),
    Check("roles", ("database",), _roles, _roles_fine),
    Check("pooler", ("pooler",), _pooler, _pooler_fine),
    Check("horizon", ("log",), _horizon, lambda it: f"everything up to offset {it.log.horizon} is final"),
    Check("secret", ("log",), _secret, _secret_fine),
    Check("retention", ("log",), _retention, _retention_fine),
    Check("archive", ("log",), _archive, _archive_fine),
)

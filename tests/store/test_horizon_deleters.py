"""G2, G10: only who may still commit an event holds the horizon. Deleters, and who looks at the sequence, never do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.conftest import Connect
from tests.support.writers import PUT, Log

DELETE = 'DELETE FROM fq.events WHERE "offset" = 1'
UPDATE = "UPDATE fq.events SET payload = '{}' WHERE \"offset\" = 0"
LOOKS = [
    "SELECT fq.last_drawn()",
    "SELECT currval('fq.events_offset_seq')",
    "SELECT setval('fq.events_offset_seq', 1000)",
    "SELECT nextval('fq.events_offset_seq')",
    "SELECT fq.wait_for_work('bridge', 'nobody', 0, 0.01, true)",
]
CHILD = """CREATE TABLE public.child (CHECK (true)) INHERITS (fq.events);
           ALTER TABLE public.child ALTER COLUMN "offset" SET DEFAULT nextval('fq.events_offset_seq')"""
FUNCTION = f"""CREATE FUNCTION public.note() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {PUT}; END $$;
               SELECT public.note()"""
WAYS: dict[str, tuple[str, str]] = {  # what the session does before, and its INSERT
    "plain": ("", PUT),
    "by fq.put": ("SELECT fq.put()", "SELECT fq.put()"),
    "select": ("", "INSERT INTO fq.events (topic) SELECT 'a.b' FROM generate_series(1, 2)"),
    "cached plan": (f"PREPARE it AS {PUT}; EXECUTE it; EXECUTE it; EXECUTE it", "EXECUTE it"),
    "generic plan": (f"SET plan_cache_mode = force_generic_plan; PREPARE it AS {PUT}; EXECUTE it", "EXECUTE it"),
    "in a function": (FUNCTION, "SELECT public.note()"),
    "in a CTE": ("", f"WITH put AS ({PUT} RETURNING *) SELECT count(*) FROM put"),
    "in a DO": ("", f"DO $$ BEGIN {PUT}; EXCEPTION WHEN division_by_zero THEN NULL; END $$"),
    "without a cached sequence": (f"{PUT}; DISCARD SEQUENCES", PUT),
    "into a child": (CHILD, "INSERT INTO public.child DEFAULT VALUES"),
}


@pytest.fixture
def log(every_database: str, connect: Connect) -> Log:
    log = Log(every_database, connect)
    log.put()
    log.put()
    assert log.advance() == 2
    return log


def begun(log: Log, *statements: str) -> psycopg.Connection[Any]:
    """Return a session with a transaction that has run these statements, and is open."""
    session = log.session()
    session.execute("BEGIN")
    session.execute("SET LOCAL session_replication_role = replica")  # no trigger: only the locks are looked at
    for each in statements:
        session.execute(each.encode())
    return session


def test_g2_who_deletes_or_changes_old_events_does_not_hold_the_horizon(log: Log) -> None:
    begun(log, DELETE)
    begun(log, UPDATE)
    begun(log, "SAVEPOINT s", 'DELETE FROM fq.events WHERE "offset" = 2', "RELEASE s")
    log.put()
    assert (log.advance(), log.read(), log.steps()) == (3, 3, 0)


def test_g2_a_prepared_delete_does_not_hold_the_horizon(log: Log) -> None:
    begun(log, DELETE).execute("PREPARE TRANSACTION 'it'")
    log.put()
    assert (log.advance(), log.read()) == (3, 3)
    log.session().execute("ROLLBACK PREPARED 'it'")


def test_g2_who_looks_at_the_sequence_does_not_hold_the_horizon(log: Log) -> None:
    for look in LOOKS:
        session = log.session()
        session.execute(PUT)  # currval needs it
        session.execute("BEGIN")
        session.execute(look.encode())
        session.execute("SELECT count(*) FROM fq.events")
        log.put()
        assert log.advance() == log.read() == log.ask("SELECT fq.last_drawn()"), look


def test_g2_every_way_of_writing_holds_the_horizon_beside_deleters(log: Log) -> None:
    begun(log, DELETE)
    for way, (before, insert) in WAYS.items():
        writer = log.session()
        for each in filter(None, before.split(";\n")):
            writer.execute(each.encode())
        final = log.advance()
        assert final == log.ask("SELECT fq.last_drawn()")
        for _ in range(2):  # the second time the session knows plan and sequence
            writer.execute("BEGIN")
            writer.execute(insert.encode())
            log.put()
            assert (log.advance(), log.read()) == (final, final), way
            writer.execute("COMMIT")
            final = log.advance()
            assert final == max(log.visible()), way


def test_g2_who_deletes_or_looks_and_also_writes_holds_it(log: Log) -> None:
    for order in [(DELETE, PUT), (PUT, DELETE.replace("= 1", "= 2")), (LOOKS[0], PUT), (PUT, LOOKS[0])]:
        before = log.advance()
        both = begun(log, *order)
        log.put()
        assert (log.advance(), log.read()) == (before, before), order
        both.execute("COMMIT")
        assert log.advance() == max(log.visible()) == before + 2


def test_g2_a_write_after_a_write_that_was_rolled_back_holds_it_although_the_sequence_was_locked_before(
    log: Log,
) -> None:
    writer = begun(log, "SAVEPOINT s", PUT, "ROLLBACK TO s")
    assert log.advance() == 3
    writer.execute(PUT)
    log.put()
    assert log.advance() == 3
    writer.execute("SAVEPOINT t")
    writer.execute(DELETE)
    writer.execute("ROLLBACK TO t")
    assert log.advance() == 3
    writer.execute("PREPARE TRANSACTION 'it'")
    assert log.advance() == 3
    log.session().execute("COMMIT PREPARED 'it'")
    assert (log.advance(), log.visible()) == (5, [1, 2, 4, 5])


def test_g2_explain_names_writers_and_no_deleters_as_holders(log: Log) -> None:
    begun(log, DELETE)
    begun(log, LOOKS[0])
    assert log.ask("SELECT count(*) FROM fq.holding()") == 0
    writer = log.writer()
    assert log.ask("SELECT pid FROM fq.holding()") == writer.info.backend_pid

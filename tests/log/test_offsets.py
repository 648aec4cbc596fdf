"""G10: an offset is the database's. Nobody who may insert can choose one, in whatever way the row comes."""

from __future__ import annotations

import subprocess
from typing import Any

import psycopg
import pytest

import bridge
from bridge.demo.servers import postgres_versions
from bridge.store.migrate import migrate
from tests.conftest import Connect
from tests.support.databases import Databases
from tests.support.servers import need_postgres_programs

INSERTS = [
    """INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE VALUES ({})""",
    """INSERT INTO fq.events ("offset", key) OVERRIDING SYSTEM VALUE VALUES (DEFAULT, 'k'), ({}, 'k')""",
    """INSERT INTO fq.events ("offset", key) OVERRIDING SYSTEM VALUE VALUES ({}, 'k'), (DEFAULT, 'k')""",
    """INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE SELECT {} FROM generate_series(1, 1)""",
    """INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT DO NOTHING""",
    """INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING *""",
    """WITH n AS (INSERT INTO fq.events ("offset") OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING 1) SELECT 1 FROM n""",
]
# below the cursors, free; far above; one that is there; one that a transaction that rolled back had drawn; the next one
NEXT = 5
CHOSEN = [-5, 0, 10**6, 1, 2, NEXT]


def log_of_four(connect: Connect) -> psycopg.Connection[Any]:
    """Offsets 1, 3 and 4; 2 was drawn and rolled back."""
    log = connect()
    bridge.publish(log, "a", {})
    with log.transaction(force_rollback=True):
        bridge.publish(log, "a", {})
    assert bridge.publish_many(log, [("a", {}), ("a", {})]) == [3, 4]
    return log


def offsets(log: psycopg.Connection[Any]) -> list[int]:
    return [offset for (offset,) in log.execute('SELECT "offset" FROM fq.events ORDER BY 1').fetchall()]


@pytest.mark.parametrize("has_written", [True, False])
@pytest.mark.parametrize("chosen", CHOSEN)
def test_g10_no_insert_chooses_an_offset(connect: Connect, chosen: int, has_written: bool) -> None:
    log = log_of_four(connect)
    for statement in INSERTS:
        with connect() as forger:
            offset = chosen
            if has_written:
                drawn = bridge.publish(forger, "forger.own", {})
                offset = drawn + 1 if chosen == NEXT else chosen
            before = offsets(log)
            with pytest.raises(psycopg.Error) as refused:
                forger.execute(statement.format(offset).encode())
            # a check, not drawn in this session, or drawn for another row of this statement
            assert refused.value.sqlstate in ("23514", "55000", "23505"), statement
            assert offsets(log) == before
    forged = 'COPY fq.events ("offset") FROM STDIN'
    with pytest.raises(psycopg.Error), connect().cursor() as cursor, cursor.copy(forged.encode()) as copy:
        copy.write_row([chosen])
    assert offsets(log) == before
    assert bridge.publish(log, "a", {}) > before[-1], "other publishers go on"
    assert bridge.publish_many(connect(), [("a", {}), ("a", {})])


def test_g10_copy_in_bulk_draws_offsets_and_refuses_one_that_is_chosen(connect: Connect) -> None:
    log = log_of_four(connect)
    with log.cursor() as cursor, cursor.copy("COPY fq.events (topic, key) FROM STDIN") as copy:
        for number in range(3000):
            copy.write_row(["a", f"k{number}"])
    assert offsets(log) == [1, 3, 4, *range(5, 3005)]
    forged = 'COPY fq.events ("offset", topic) FROM STDIN'
    with (
        pytest.raises(psycopg.errors.CheckViolation) as refused,
        log.cursor() as cursor,
        cursor.copy(forged.encode()) as copy,
    ):
        for number in range(5000, 8000):
            copy.write_row([number, "a"])
    assert refused.value.diag.constraint_name == "events_offset"
    assert len(offsets(log)) == 3003


def test_g10_every_way_to_append_draws_its_offset(connect: Connect) -> None:
    log = log_of_four(connect)
    log.execute("INSERT INTO fq.events DEFAULT VALUES")
    log.execute("INSERT INTO fq.events (key) SELECT 'k' FROM generate_series(1, 1000) n ORDER BY n")
    log.execute("INSERT INTO fq.events (key) VALUES ('a'), ('b') ON CONFLICT DO NOTHING")
    log.execute("""INSERT INTO fq.events ("offset") VALUES (DEFAULT)""")
    log.execute("""INSERT INTO fq.events ("offset") OVERRIDING USER VALUE VALUES (77)""")
    log.execute("SELECT fq.put()")
    with log.transaction():
        bridge.publish(log, "a", {})
        with log.transaction(force_rollback=True):
            bridge.publish(log, "a", {})
        assert bridge.publish_many(log, [("a", {})] * 3) == [1013, 1014, 1015]
    with log.cursor() as cursor:
        cursor.executemany("INSERT INTO fq.events (key) VALUES (%s)", [["a"], ["b"]])
    assert offsets(log) == [1, 3, 4, *range(5, 1012), *range(1013, 1018)]


def test_g10_a_dump_brings_back_events_functions_and_the_refusal(
    every_database: str, _every_databases: Databases, connect: Connect
) -> None:
    need_postgres_programs()
    log = connect(every_database)
    bridge.publish_many(log, [("a", {"n": n}) for n in range(10)])
    programs = postgres_versions()[log.info.server_version // 10000]
    dump = subprocess.run([programs / "pg_dump", every_database], capture_output=True, check=True).stdout
    with _every_databases.empty() as restored:
        subprocess.run(
            [programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", restored], input=dump, capture_output=True, check=True
        )
        assert migrate(restored) == []
        with psycopg.connect(restored, autocommit=True) as copy:
            assert offsets(copy) == [*range(1, 11)]
            with pytest.raises(psycopg.Error):
                copy.execute(INSERTS[0].format(100).encode())
            assert bridge.publish(copy, "a", {}) == 11
            assert copy.execute("""SELECT "offset" FROM fq.get('reader')""").fetchone() == (1,)

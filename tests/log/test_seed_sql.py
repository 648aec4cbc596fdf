"""The SQL that the log was born with works word for word, from any Postgres client, with no Python in sight.

The statements below are literal text on purpose: they are what users of the article have in their programs.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import Connect

PUT = """INSERT INTO fq.events (payload) VALUES ('{"name": "first event"}'), ('{"name": "second event"}') RETURNING *"""
PUT_UNQUALIFIED = """INSERT INTO events (payload) VALUES ('{"name": "first event"}') RETURNING *"""
READ = """
SELECT * FROM fq.events WHERE "offset" > (SELECT CASE count(*) WHEN 0 THEN -1 ELSE MAX("offset") END AS "offset"
FROM fq.clients WHERE id = 'CLIENT_ID' LIMIT 1) ORDER BY "offset" ASC LIMIT 1
"""
COMMIT_1 = """
INSERT INTO fq.clients (id, "offset") VALUES ('CLIENT_ID', 1) ON CONFLICT ON CONSTRAINT clients_pkey DO
UPDATE SET "offset" = EXCLUDED."offset" RETURNING *
"""
COMMIT_2 = """
INSERT INTO fq.clients (id, "offset") VALUES ('CLIENT_ID', 2) ON CONFLICT ON CONSTRAINT clients_pkey DO
UPDATE SET "offset" = EXCLUDED."offset" RETURNING *
"""
CURSOR = """SELECT "offset" FROM fq.clients WHERE id = 'CLIENT_ID'"""


@pytest.fixture
def log(connect: Connect) -> psycopg.Connection[Any]:
    return connect(row_factory=dict_row)


def one(log: psycopg.Connection[Any], statement: str) -> dict[str, Any]:
    row: dict[str, Any] | None = log.execute(statement.encode()).fetchone()
    assert row is not None
    return row


def test_events_are_put_with_the_articles_insert(log: psycopg.Connection[Any]) -> None:
    first, second = log.execute(PUT).fetchall()
    assert (first["offset"], second["offset"]) == (1, 2)
    assert first["payload"] == {"name": "first event"}
    assert (first["topic"], first["key"], first["headers"]) == ("event", None, {})


def test_events_are_put_and_read_unqualified_on_a_search_path(log: psycopg.Connection[Any]) -> None:
    log.execute("SET search_path = fq")
    assert one(log, PUT_UNQUALIFIED)["payload"] == {"name": "first event"}
    assert [row["offset"] for row in log.execute("SELECT * FROM events").fetchall()] == [1]
    unqualified = COMMIT_1.replace("fq.", "")
    assert [one(log, unqualified)["offset"] for _ in range(2)] == [1, 1]


def test_an_event_without_values_is_an_empty_payload(log: psycopg.Connection[Any]) -> None:
    assert log.execute("INSERT INTO fq.events DEFAULT VALUES RETURNING payload").fetchone() == {"payload": {}}


def test_an_unknown_client_reads_from_the_beginning_and_needs_no_registration(
    log: psycopg.Connection[Any],
) -> None:
    assert log.execute(READ).fetchone() is None
    log.execute(PUT)
    assert one(log, READ)["offset"] == 1
    assert log.execute("SELECT count(*) AS clients FROM fq.clients").fetchone() == {"clients": 0}


def test_reading_does_not_move_the_cursor_and_committing_does(log: psycopg.Connection[Any]) -> None:
    log.execute(PUT)
    assert [one(log, READ)["offset"] for _ in range(2)] == [1, 1]
    committed = one(log, COMMIT_1)
    assert (committed["id"], committed["offset"], committed["task"]) == ("CLIENT_ID", 1, None)
    assert [one(log, READ)["offset"] for _ in range(2)] == [2, 2]
    assert one(log, COMMIT_2)["offset"] == 2
    assert log.execute(READ).fetchone() is None


def test_clients_read_the_same_log_independently(log: psycopg.Connection[Any]) -> None:
    log.execute(PUT)
    log.execute(COMMIT_2)
    assert log.execute(READ).fetchone() is None
    assert one(log, READ.replace("CLIENT_ID", "other"))["offset"] == 1
    log.execute(COMMIT_1.replace("CLIENT_ID", "other"))
    assert log.execute(CURSOR).fetchone() == {"offset": 2}


def test_a_plain_reader_may_have_any_name_and_move_its_cursor_back(log: psycopg.Connection[Any]) -> None:
    log.execute(PUT)
    for commit in (COMMIT_2, COMMIT_1):
        moved = one(log, commit.replace("CLIENT_ID", "my client / №1"))
        assert moved["dispatched"] == moved["offset"]
    assert moved["offset"] == 1


def test_put_get_and_commit_are_functions_for_other_languages(log: psycopg.Connection[Any]) -> None:
    put = one(log, """SELECT * FROM fq.put('{"n": 1}', 'order.created', 'order-1')""")
    assert (put["offset"], put["topic"], put["key"], put["payload"]) == (1, "order.created", "order-1", {"n": 1})
    log.execute("SELECT fq.put()")
    for _ in range(2):
        assert log.execute("SELECT * FROM fq.get('reader')").fetchall() == [put]
    assert log.execute("""SELECT "offset" FROM fq.commit('reader', 1)""").fetchone() == {"offset": 1}
    assert [row["offset"] for row in log.execute("SELECT * FROM fq.get('reader')").fetchall()] == [2]
    log.execute("SELECT fq.commit('reader', 2)")
    assert log.execute("SELECT * FROM fq.get('reader')").fetchall() == []
    assert len(log.execute("SELECT * FROM fq.get('another')").fetchall()) == 1


def test_g3_the_commit_function_never_moves_a_cursor_back(log: psycopg.Connection[Any]) -> None:
    log.execute(PUT)
    log.execute("SELECT fq.commit('reader', 2)")
    assert log.execute("""SELECT "offset" FROM fq.commit('reader', 1)""").fetchone() == {"offset": 2}


def test_g2_get_does_not_pass_over_an_event_that_is_still_in_a_transaction(connect: Connect) -> None:
    writer, reader = connect(), connect()
    with writer.transaction():
        writer.execute("SELECT fq.put()")
        reader.execute("SELECT fq.put()")
        assert reader.execute("SELECT * FROM fq.get('reader')").fetchall() == []
    assert reader.execute("""SELECT "offset" FROM fq.get('reader')""").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fq.events SET payload = '{}'",
        "UPDATE fq.events SET topic = 'x'",
        "TRUNCATE fq.events",
        "WITH changed AS (UPDATE fq.events SET key = 'x' RETURNING 1) SELECT * FROM changed",
    ],
)
def test_events_are_immutable(connect: Connect, change: str) -> None:
    log = connect()
    log.execute(PUT)
    before = log.execute("SELECT * FROM fq.events").fetchall()
    with pytest.raises(psycopg.Error) as refused:
        log.execute(change.encode())
    assert refused.value.sqlstate == "FQ001"
    assert refused.value.diag.message_hint
    assert log.execute("SELECT * FROM fq.events").fetchall() == before


def test_g1_an_event_is_deleted_only_when_every_client_has_finished_it(log: psycopg.Connection[Any]) -> None:
    log.execute(PUT)
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('driven', 'app.task')")
    log.execute(COMMIT_1)
    with pytest.raises(psycopg.Error, match='event 1 is not done for client "driven"') as refused:
        log.execute("""DELETE FROM fq.events WHERE "offset" = 1""")
    assert refused.value.sqlstate == "FQ001"
    log.execute("DELETE FROM fq.clients WHERE id = 'driven'")
    with pytest.raises(psycopg.Error, match='event 2 is not done for client "CLIENT_ID"'):
        log.execute("DELETE FROM fq.events")
    log.execute("""DELETE FROM fq.events WHERE "offset" = 1""")
    assert log.execute("""SELECT "offset" FROM fq.events""").fetchall() == [{"offset": 2}]


@pytest.mark.parametrize(
    "commit",
    [
        COMMIT_1.replace("CLIENT_ID", "driven"),
        """UPDATE fq.clients SET "offset" = 1 WHERE id = 'driven'""",
        "SELECT fq.commit('driven', 1)",
    ],
)
def test_g3_a_commit_by_hand_on_a_driven_client_is_refused_and_told_to_seek(
    log: psycopg.Connection[Any], commit: str
) -> None:
    log.execute(PUT)
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('driven', 'app.task')")
    with pytest.raises(psycopg.Error, match='client "driven"') as refused:
        log.execute(commit.encode())
    assert refused.value.sqlstate == "FQ002"
    assert refused.value.diag.message_hint == "use `eventbridge seek driven --to 1`"
    assert log.execute("""SELECT "offset", dispatched FROM fq.clients""").fetchall() == [
        {"offset": -1, "dispatched": -1}
    ]
    log.execute(COMMIT_1)  # a plain reader beside it moves as it likes


def test_g3_a_driven_cursor_goes_back_only_with_a_new_epoch(log: psycopg.Connection[Any]) -> None:
    log.execute("""INSERT INTO fq.clients (id, "offset", task) VALUES ('driven', 5, 'app.task')""")
    for column in ("offset", "dispatched"):
        with pytest.raises(psycopg.Error) as refused:
            log.execute(f"""UPDATE fq.clients SET "{column}" = 3 WHERE id = 'driven'""".encode())
        assert refused.value.sqlstate == "FQ002"
    log.execute("""UPDATE fq.clients SET "offset" = 3, dispatched = 3, epoch = epoch + 1 WHERE id = 'driven'""")
    assert log.execute("""SELECT "offset", epoch FROM fq.clients""").fetchone() == {"offset": 3, "epoch": 2}


def test_g6_a_client_that_is_removed_and_comes_back_has_a_higher_epoch(log: psycopg.Connection[Any]) -> None:
    def come_and_go(epoch: int | None = None) -> int:
        log.execute("INSERT INTO fq.clients (id, task) VALUES ('driven', 'app.task')")
        if epoch:
            log.execute("UPDATE fq.clients SET epoch = %s, last_epoch = %s WHERE id = 'driven'", [epoch, epoch])
        log.execute(
            """INSERT INTO fq.deliveries (client_id, "offset", epoch, due_at) VALUES ('driven', 1, 1, 'infinity')"""
        )
        return int(one(log, "DELETE FROM fq.clients WHERE id = 'driven' RETURNING epoch")["epoch"])

    assert [come_and_go(), come_and_go(), come_and_go(epoch=9), come_and_go()] == [1, 2, 9, 10]
    assert log.execute("SELECT * FROM fq.deliveries").fetchall() == []
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('other', 'app.task')")
    assert log.execute("SELECT epoch FROM fq.clients").fetchall() == [{"epoch": 1}]


def test_g2_offsets_can_not_be_given_by_hand(log: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.GeneratedAlways):
        log.execute("""INSERT INTO fq.events ("offset", payload) VALUES (7, '{}')""")
    assert one(log, PUT)["offset"] == 1


@pytest.mark.parametrize("topic", ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\n", "a.*", "#", "a#b"])
def test_a_topic_is_dotted_words_without_wildcards_or_spaces(connect: Connect, topic: str) -> None:
    log = connect()
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        log.execute("SELECT fq.put(topic => %s)", [topic])
    assert refused.value.diag.constraint_name == "events_topic"
    log.execute("SELECT fq.put(topic => 'order.line-item.Größe.1')")

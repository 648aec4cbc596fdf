"""What is said twice says the same: SQL files and their headers, defaults, topics in Python and in Postgres."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.sender.parcels import matches
from bridge.settings.client import CLIENT_ID, SETTINGS
from bridge.settings.setting import MOST
from bridge.sql import source, statement
from bridge.topics import TOPIC, TOPIC_PATTERN
from tests.conftest import Connect

STATEMENTS = sorted(
    f"{folder.name}/{path.name.removesuffix('.sql')}"
    for folder in files("bridge.sql").iterdir()
    if folder.is_dir() and folder.name != "schema"
    for path in folder.iterdir()
    if path.name.endswith(".sql")
)
HEADER = re.compile(
    r"\A-- [A-Z].*(?:\n-- .*)*\.\n--\n"
    r"-- Binds      (?P<binds>\S.*\n(?:--            .*\n)*)"
    r"-- Returns    (?P<returns>\S.*\n(?:--            .*\n)*)"
    r"-- Relies on  (?P<relies_on>\S.*\n(?:--            .*\n)*)(?!--)"
)
BIND = re.compile(r"^(?:--            )?(\w+) +\S", re.MULTILINE)

# What regular expressions, LIKE, quoting, JSON, arrays and other alphabets could trip over.
LETTERS = "ab1_-\\|()[]{}+?^$/'\"%,;:=!<>&~@éßÀıİσςЖ中✓😀"
WORDS = st.text(LETTERS, min_size=1, max_size=4) | st.sampled_from(
    ["order", "created", "\\d", "\\.", "[a-z]", "a|b", "(?i)a"]
)
TOPICS = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.lists(WORDS | st.sampled_from("*#"), min_size=1, max_size=4).map(".".join)
MESS = st.text("ab.*# \t\n\r\f\v\x00\x1c\x1f\x7f\x85\xa0\u1680\u2003\u2028\u200b\u3000\ufeffé😀\udc80", max_size=5)
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def log(connect: Connect) -> psycopg.Connection[Any]:
    return connect()


def differing(
    log: psycopg.Connection[Any], name: str, expression: str, pattern: re.Pattern[str], texts: list[str]
) -> list[str]:
    """The texts that only one of the two accepts; what Postgres can't even hold is as good as refused."""
    held = [text for text in texts if not {"\0", "\udc80"} & set(text)]
    query = (
        f"""SELECT {name}, {expression} FROM (SELECT unnest(%s::text[]) COLLATE "C" AS {name}, 't' AS task) AS texts"""
    )
    said = dict(log.execute(query.encode(), [held]).fetchall())
    return [text for text in texts if bool(pattern.fullmatch(text)) is not said.get(text, False)]


def check_of(log: psycopg.Connection[Any], constraint: str) -> str:
    query = "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = %s"
    ((expression,),) = log.execute(query, [constraint]).fetchall()
    return str(expression)


def checks_of(log: psycopg.Connection[Any], column: str) -> str:
    """All that Postgres checks of a client's column, as SQL: the bounds of its type."""
    query = """
        SELECT coalesce(string_agg(pg_get_constraintdef(c.oid), ' '), '')
          FROM pg_constraint c JOIN pg_attribute a ON a.atttypid = c.contypid
         WHERE a.attrelid = 'fq.clients'::regclass AND a.attname = %s"""
    ((expression,),) = log.execute(query, [column]).fetchall()
    return str(expression)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_says_what_it_binds_returns_and_relies_on(name: str) -> None:
    header = HEADER.match(source(name))
    assert header, f"{name}.sql has no header of the form: sentence, Binds, Returns, Relies on"
    said = [] if header["binds"].strip() == "none" else BIND.findall(header["binds"])
    assert len(said) == len(set(said))
    assert set(said) == set(statement(name)._bindparams)


def test_there_are_statements_and_they_know_what_a_missing_header_is() -> None:
    assert "pass/advance_horizon" in STATEMENTS
    for wrong in ("SELECT 1", "-- Look.\n--\n-- Binds      none\n-- Returns    nothing\nSELECT 1"):
        assert not HEADER.match(wrong)


def test_sql_keeps_to_the_line_limit_of_the_code() -> None:
    files_of_sql = sorted(Path(str(files("bridge.sql"))).rglob("*.sql"))
    assert len(files_of_sql) > len(STATEMENTS)
    long = [
        f"{path.name}:{nth}"
        for path in files_of_sql
        for nth, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


def test_a_client_registered_in_sql_gets_the_same_defaults_as_one_in_python(log: psycopg.Connection[Any]) -> None:
    columns = ", ".join(f'"{name}"' for name in SETTINGS)
    row = log.execute(f"INSERT INTO fq.clients (id, task) VALUES ('c', 't') RETURNING {columns}".encode()).fetchone()
    assert row is not None
    in_sql = {
        name: tuple(value) if isinstance(value, list) else value for name, value in zip(SETTINGS, row, strict=True)
    }
    assert in_sql == {name: setting.default for name, setting in SETTINGS.items()} | {"task": "t"}


def test_sql_accepts_the_same_choices_and_ranges_as_python(log: psycopg.Connection[Any]) -> None:
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('c', 't')")

    def in_sql(name: str, value: object) -> bool:
        try:
            log.execute(f'UPDATE fq.clients SET "{name}" = %s'.encode(), [value])
        except psycopg.errors.CheckViolation:
            return False
        return True

    for name, setting in SETTINGS.items():
        values: list[Any] = [*setting.choices, "else"] if setting.choices else []
        if "number" in setting.kind:
            edge = int(setting.least if setting.above is None else setting.above)
            values = [edge - 1, edge, edge + 1, setting.most]
            bounded = re.search(r"<|BETWEEN", checks_of(log, name)) is not None
            assert bounded is (setting.most < MOST), f"{name} has an upper bound on one side only"
            values += [setting.most + 1] if bounded else []
        for value in values:
            assert in_sql(name, value) is (setting.problem(value) == ""), (name, value)


def test_a_registration_saves_every_setting() -> None:
    body = re.sub(r"--.*", "", source("operate/save_client"))
    assert [setting for setting in SETTINGS if not re.search(rf"\b{setting}\b", body)] == []
    updated = re.findall(r'(\w+)"? = EXCLUDED\."?(\w+)', body)
    assert updated == [(setting, setting) for setting, _ in updated]
    assert {setting for setting, _ in updated} == set(SETTINGS)


@thorough
@given(
    topics=st.lists(TOPICS.filter(TOPIC.fullmatch), min_size=10, max_size=30),
    patterns=st.lists(PATTERNS, min_size=5, max_size=15),
    data=st.data(),
)
def test_topic_patterns_match_the_same_topics_in_python_and_in_postgres(
    log: psycopg.Connection[Any], topics: list[str], patterns: list[str], data: st.DataObject
) -> None:
    for topic in topics[:10]:  # patterns that are near a topic, so that both answers are common
        words = [data.draw(st.sampled_from([word, word, "*", "#"])) for word in topic.split(".")]
        patterns.append(".".join(words))
    one_by_one = """
        SELECT pattern, topic, '.' || topic ~ fq.topics_filter(ARRAY[pattern])
          FROM unnest(%s::text[]) AS pattern, (SELECT unnest(%s::text[]) COLLATE "C" AS topic) AS topics"""
    for pattern, topic, said in log.execute(one_by_one, [patterns, topics]).fetchall():
        assert said is matches(pattern, topic), (pattern, topic)
    together = """
        SELECT topic, '.' || topic ~ fq.topics_filter(%s) FROM (SELECT unnest(%s::text[]) COLLATE "C" AS topic) AS
        topics"""
    for topic, said in log.execute(together, [patterns, topics]).fetchall():
        assert said is any(matches(pattern, topic) for pattern in patterns), (patterns, topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "match"),
    [
        ("#", "a", True),
        ("#", "a.b.c", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("a.#", "ab", False),
        ("#.c", "c", True),
        ("a.#.c", "a.c", True),
        ("a.*.c", "a.c", False),
        ("a.b", "a.b.c", False),
        ("b", "a.b", False),
        ("a", "A", False),
        ("a.#.#", "a", True),
    ],
)
def test_topic_patterns_are_those_of_amqp(log: psycopg.Connection[Any], pattern: str, topic: str, match: bool) -> None:
    assert matches(pattern, topic) is match
    said = log.execute("SELECT '.' || %s::text ~ fq.topics_filter(ARRAY[%s::text])", [topic, pattern]).fetchone()
    assert said == (match,)


@thorough
@given(texts=st.lists(MESS | TOPICS, min_size=20, max_size=60))
def test_python_and_postgres_accept_the_same_topics(log: psycopg.Connection[Any], texts: list[str]) -> None:
    assert differing(log, "value", check_of(log, "events_topic"), TOPIC, texts) == []


@thorough
@given(texts=st.lists(MESS | PATTERNS, min_size=20, max_size=60))
def test_python_and_postgres_accept_the_same_topic_patterns(log: psycopg.Connection[Any], texts: list[str]) -> None:
    assert differing(log, "pattern", "fq.topics_valid(ARRAY[pattern])", TOPIC_PATTERN, texts) == []


@thorough
@given(
    texts=st.lists(
        MESS | st.text("aZ09_.-é ", max_size=6) | st.integers(98, 102).map("a".__mul__), min_size=20, max_size=60
    )
)
def test_python_and_postgres_accept_the_same_client_ids(log: psycopg.Connection[Any], texts: list[str]) -> None:
    assert differing(log, "id", check_of(log, "clients_id"), CLIENT_ID, texts) == []


def test_no_patterns_are_not_a_subscription(log: psycopg.Connection[Any]) -> None:
    for none in ("{}", "{NULL}", "{a,NULL}", '{a,""}'):
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            log.execute("INSERT INTO fq.clients (id, topics) VALUES ('c', %s)", [none])
        assert refused.value.diag.constraint_name == "clients_topics"

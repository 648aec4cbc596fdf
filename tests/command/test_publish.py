"""`publish`: one event or a file of them, and what can't be published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.command.running import Run, done, parsed, refused, runner
from tests.conftest import Connect

BAD_LINES = [
    ("[1]", "line 2 is not a JSON object"),
    ("{", "line 2 is not JSON"),
    ('{"payload": 1}', "line 2 names no topic"),
    ('{"topic": 7}', "line 2: topic 7 is malformed"),
    ('{"topic": "a", "keys": 1}', "line 2 has a field 'keys'"),
    ('{"topic": "a", "key": 1.5}', "line 2: key 1.5 must be text"),
    ('{"topic": "a", "id": ""}', "line 2: id is empty"),
    ('{"topic": "a", "key": "\\u0000"}', "line 2: key '\\x00' must be text"),
    ('{"topic": "a", "headers": 1}', "line 2: headers must be a mapping"),
    ('{"topic": "a", "payload": "\\u0000"}', "line 2: payload is not JSON that Postgres can store: it holds a NUL"),
    (b'{"topic": "a", "payload": "\xff"}', "line 2 is not UTF-8 text"),
]


def test_publish_prints_the_offset_of_what_it_stored(run: Run, eyes: psycopg.Connection[Any]) -> None:
    assert done(run("publish", "order.created", '{"a": [1, "ü"]}', "--key", "k", "--headers", '{"h": 1}')) == "1\n"
    assert done(run("publish", "order.paid", "-", input='"from stdin"')) == "2\n"
    assert parsed(run("publish", "order.gone", "--json")) == {"offset": 3}
    rows = eyes.execute('SELECT topic, payload, key, headers FROM fq.events ORDER BY "offset"').fetchall()
    assert rows == [
        ("order.created", {"a": [1, "ü"]}, "k", {"h": 1}),
        ("order.paid", "from stdin", None, {}),
        ("order.gone", {}, None, {}),
    ]


def test_an_event_with_an_id_is_stored_once(run: Run, eyes: psycopg.Connection[Any]) -> None:
    assert [done(run("publish", "a", "1", "--id", "x")) for _ in range(2)] == ["1\n", "1\n"]
    lines = '{"topic": "a", "id": "x"}\n{"topic": "a", "id": "y"}\n'
    first, second = done(run("publish", "--many", "-", input=lines)).split()
    assert first == "1" and second != "1"
    assert eyes.execute("SELECT id FROM fq.event_ids ORDER BY id").fetchall() == [("x",), ("y",)]
    assert 'id "x" is that of an event with the topic a, and not b' in refused(run("publish", "b", "--id", "x"))


def test_an_event_is_scheduled_shown_and_cancelled(run: Run, eyes: psycopg.Connection[Any]) -> None:
    assert done(run("scheduled")) == "no event is scheduled\n"
    assert done(run("publish", "a.late", "--after", "3d", "--key", "k\x1b[31m")).startswith(
        "scheduled as number 1, due"
    )
    assert parsed(run("publish", "a.soon", "--at", "2026-01-31T12:00:00+01:00", "--id", "x", "--json")) == {
        "number": 2,
        "due_at": "2026-01-31T11:00:00.000000+00:00",
    }
    assert [event["topic"] for event in parsed(run("scheduled", "--json"))] == ["a.soon", "a.late"]
    shown = done(run("scheduled"))
    assert "a.late" in shown and "\x1b" not in shown
    run("register", "c", "--task", "t")
    assert "2 events are scheduled for later, the next one is late by" in done(run("status"))
    assert done(run("scheduled", "--cancel-id", "x")) == "1 event is cancelled: 2\n"
    assert "none of these is scheduled any more" in refused(run("scheduled", "--cancel", "2"))
    assert "1 event is scheduled for later, the next one is due in 3 d" in done(run("status"))
    assert parsed(run("scheduled", "--cancel", "1", "--json")) == [1]
    assert "is no timestamp such as" in run("publish", "a", "--at", "tomorrow").output
    assert eyes.execute("SELECT action, details FROM fq.journal ORDER BY id DESC LIMIT 1").fetchall() == [
        ("cancel", {"events": 1, "numbers": [1]})
    ]


def test_what_tail_prints_can_be_published_again(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("publish", "a.b", '{"x": "é\\u001b"}', "--key", "k", "--headers", '{"h": 1}')
    run("publish", "c")
    printed = done(run("tail", "--json", "--from", "beginning"))
    assert done(run("publish", "--many", "-", input=printed)).split() == ["3", "4"]
    rows = eyes.execute('SELECT topic, payload, key, headers FROM fq.events ORDER BY "offset"').fetchall()
    assert rows[2:] == rows[:2]


def test_a_file_of_events_is_published_whole_or_not_at_all(
    run: Run, eyes: psycopg.Connection[Any], tmp_path: Path
) -> None:
    good = "\n\n".join(json.dumps({"topic": "a", "payload": n}) for n in range(4500))
    (tmp_path / "good.jsonl").write_text(good)
    assert len(done(run("publish", "--many", str(tmp_path / "good.jsonl"))).split()) == 4500
    payloads = eyes.execute('SELECT payload FROM fq.events ORDER BY "offset"').fetchall()
    assert payloads == [(n,) for n in range(4500)], "in the order of the file"
    (tmp_path / "bad.jsonl").write_text(f'{good}\n{{"topic": "a..b"}}')
    result = run("publish", "--many", str(tmp_path / "bad.jsonl"))
    assert "bad.jsonl, line 9000: topic 'a..b' is malformed" in refused(result)
    assert result.exit_code == 2
    assert eyes.execute("SELECT count(*) FROM fq.events").fetchone() == (4500,)


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_published(
    untouched: str, connect: Connect, line: str | bytes, message: str
) -> None:
    line = line if isinstance(line, bytes) else line.encode()
    result = runner(untouched)("publish", "--many", "-", input=b'{"topic": "good"}\n' + line)
    assert message in refused(result)
    assert result.exit_code == 2
    assert connect(untouched).execute("SELECT count(*) FROM fq.events").fetchone() == (0,)

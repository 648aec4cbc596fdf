"""`tail`: the last events, those from a place on, and what comes later."""

from __future__ import annotations

import json
import signal
from typing import Any

import psycopg
import pytest
from click.testing import Result

from bridge.command.texts import plain
from tests.command.running import Run, Start, done, lines
from tests.conftest import Connect
from tests.support.waiting import wait_until


def offsets_of(result: Result) -> list[int]:
    return [event["offset"] for event in lines(result)]


def test_tail_shows_the_last_events_or_those_from_a_place_on(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("INSERT INTO fq.events (topic) SELECT 'order.' || n % 2 FROM generate_series(1, 1200) n")
    assert offsets_of(run("tail", "--json")) == list(range(1191, 1201))
    assert offsets_of(run("tail", "--json", "-n", "3")) == [1198, 1199, 1200]
    assert offsets_of(run("tail", "--json", "-n", "0")) == []
    assert offsets_of(run("tail", "--json", "--from", "600", "-n", "3")) == [600, 601, 602]
    assert offsets_of(run("tail", "--json", "--from", "beginning")) == list(range(1, 1201)), "page after page"
    assert offsets_of(run("tail", "--json", "--from", "now")) == []
    assert offsets_of(run("tail", "--json", "--from", "2020-01-01", "-n", "1")) == [1]
    assert offsets_of(run("tail", "--json", "--from", "5000")) == []


def test_tail_filters_by_topic_and_looks_back_as_far_as_it_must(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("INSERT INTO fq.events (topic) VALUES ('rare.one'), ('rare.two'), ('rare.three')")
    eyes.execute("INSERT INTO fq.events (topic) SELECT 'order' FROM generate_series(1, 700)")
    assert offsets_of(run("tail", "--json", "--topics", "rare.*", "-n", "2")) == [2, 3]
    assert offsets_of(run("tail", "--json", "--topics", "rare.one,rare.three")) == [1, 3]
    assert offsets_of(run("tail", "--json", "--topics", "rare.*", "--from", "2")) == [2, 3]
    assert offsets_of(run("tail", "--json", "--topics", "none.#")) == []


def test_an_event_above_one_that_may_still_appear_is_not_shown_yet(run: Run, connect: Connect) -> None:
    slow = connect(autocommit=False)
    slow.execute("INSERT INTO fq.events (topic) VALUES ('slow')")
    run("publish", "quick")
    assert offsets_of(run("tail", "--json")) == []
    slow.commit()
    assert offsets_of(run("tail", "--json")) == [1, 2]


def test_tail_follows_what_is_published_later(run: Run, start: Start) -> None:
    run("publish", "before")
    process = start("tail", "--follow", "--json")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())["topic"]]
    run("publish", "other.one")
    run("publish", "after")
    seen += [json.loads(process.stdout.readline())["topic"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)
    assert (seen, process.returncode, rest) == (["before", "other.one", "after"], 130, ("", ""))


def test_tail_ends_after_the_events_that_were_asked_for(run: Run, start: Start) -> None:
    run("publish", "before")
    process = start("tail", "--follow", "--from", "now", "-n", "1", "--json")

    def is_looking() -> bool:
        run("publish", "after")
        return process.poll() is not None

    wait_until(is_looking, what="tail has seen one event", poll_seconds=0.2)
    out, err = process.communicate()
    assert (process.returncode, err, len(out.splitlines())) == (0, "", 1)
    assert json.loads(out)["topic"] == "after"


def test_tail_for_people_is_a_line_per_event_that_can_t_touch_the_terminal(
    run: Run, eyes: psycopg.Connection[Any]
) -> None:
    eyes.execute("INSERT INTO fq.events (topic, key, payload) VALUES ('a', E'k\\x1b[31m\\n', '[\"\\u009b\"]')")
    [line] = done(run("tail")).splitlines()
    assert line.split("  ")[-3:] == ["a", r"key=k\x1b[31m\n", r'["\x9b"]']
    eyes.execute("SELECT fq.schedule('a', '1', now() + interval '1 h', E'\\u009b\\u202e', id => 'i')")
    for command in ("tail", "show 1", "scheduled"):
        told = done(run(*command.split(), "--json"))
        assert told.replace("\n", "").isprintable() and json.loads(told), command


def test_a_reader_that_closes_the_pipe_sees_no_complaint(eyes: psycopg.Connection[Any], start: Start) -> None:
    eyes.execute("INSERT INTO fq.events (topic) SELECT 'order' FROM generate_series(1, 20000)")
    process = start("tail", "--from", "beginning")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert complaint == ""


def test_text_from_the_log_shows_what_it_is_made_of() -> None:
    assert plain("a\x1b]0;title\x07b\u202eü") == r"a\x1b]0;title\x07b\u202eü"


UNREADABLE = [
    '{"n": 1e5000}',
    '{"n": -1e131071}',
    "[" * 1500 + "]" * 1500,
    '{"x": {"__type__": "money", "__value__": 5}}',
    '"é\u2028\U0001f600"',
]


@pytest.mark.parametrize("payload", UNREADABLE, ids=lambda payload: payload[:20])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_g10_tail_shows_every_event_that_the_log_can_hold(
    run: Run, eyes: psycopg.Connection[Any], *, payload: str, options: list[str]
) -> None:
    row = eyes.execute(
        "INSERT INTO fq.events (topic, payload, headers)"
        " SELECT 'a', p, CASE WHEN length(p::text) < 60000 THEN jsonb_build_object('h', p) ELSE '{}' END"
        " FROM (SELECT %s::jsonb AS p) p RETURNING payload::text",
        (payload,),
    ).fetchone()
    assert row is not None
    run("publish", "after")
    bad, good = done(run("tail", *options)).rstrip().split("\n")
    shown = row[0].replace("\u2028", r"\u2028") if options else plain(row[0][:2000])
    assert shown in bad
    assert "after" in good
    if not options:
        assert len(bad) < 6000, "what is too long for a line is cut off"

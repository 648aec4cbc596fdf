"""`show`, `tail` by key, topic, client and time, `--follow`, and the names of clients for a shell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import click
import psycopg
import pytest
from click.shell_completion import BashComplete

from bridge.__main__ import main
from bridge.command.parameters import since, span_seconds
from tests.command.running import ROOT, Run, Start, done, lines, parsed, refused
from tests.support.waiting import wait_until
from tests.support.world import World


def test_show_tells_an_event_and_its_fate_at_every_client(run: Run, parked: World) -> None:
    parked.client("idle")
    shown = done(run("show", "1"))
    assert "order.created  key=a  {}" in shown
    assert "  c     parked    parked at " in shown
    assert "ValueError: no" in shown
    assert "  idle  not-read  not read yet: the client stands at -1" in shown
    it = parsed(run("show", "1", "--json"))
    assert (it["offset"], it["found"], it["event"]["topic"]) == (1, "log", "order.created")
    assert [(fate["client"], fate["fate"]) for fate in it["fates"]] == [("c", "parked"), ("idle", "not-read")]
    assert it["fates"][0]["data"]["error_type"] == "ValueError"
    assert "there is no such event: the last offset that was drawn is 3" in refused(run("show", "99"))
    assert "there is no such event: the first offset is 1" in refused(run("show", "0"))
    missing = run("show", "99", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["event"], missing.stderr) == (1, None, "")


def test_show_key_tells_which_clients_have_handled_it(run: Run, parked: World) -> None:
    parked.client("idle")
    parked.publish("a")
    parked.succeed(*parked.hand_over())
    assert done(run("show", "--key", "a")).splitlines() == [
        "c  has handled it up to event 4; parked: 1",
        "idle  has handled no event of it; 2 not read yet",
    ]
    found = parsed(run("show", "--key", "a", "--json"))
    assert [(it["client"], it["handled"], it["parked"], it["unread"]) for it in found] == [
        ("c", 4, [1], 0),
        ("idle", None, [], 2),
    ]
    assert run("show").exit_code == 2
    assert run("show", "1", "--key", "a").exit_code == 2


@pytest.mark.parametrize("payload", ["1e5000", '"\x1b[31m"'], ids=["unreadable", "colours"])
def test_show_can_t_be_spoilt_by_what_an_event_holds(run: Run, eyes: psycopg.Connection[Any], payload: str) -> None:
    eyes.execute("INSERT INTO fq.events (topic, payload) VALUES ('a', %s)", [json.dumps(payload)])
    assert "\x1b" not in done(run("show", "1"))
    assert parsed(run("show", "1", "--json"))["event"]["topic"] == "a"


def test_tail_by_key_topic_client_and_time(run: Run, world: World) -> None:
    world.client("billing", topics=["order.*"])
    world.publish("a", "b", topic="order.created")
    world.publish("a", topic="invoice.sent")
    world.publish("a", topic="order.paid")

    def found(*options: str) -> list[int]:
        return [it["offset"] for it in lines(run("tail", "--json", *options))]

    assert found("--key", "a") == [1, 3, 4]
    assert found("--key", "a", "--topic", "order.*") == [1, 4]
    assert found("--client", "billing") == [1, 2, 4]
    assert found("--client", "billing", "--key", "a", "--topic", "*.paid") == [4]
    assert found("--since", "10m") == [1, 2, 3, 4]
    assert found("--since", "2020-01-31T12:00") == [1, 2, 3, 4]
    world.eyes.execute("SELECT pg_sleep(0.1)")
    assert found("--since", "0.001s", "--key", "a") == []
    assert run("tail", "--since", "1h", "--from", "1").exit_code == 2
    assert run("tail", "--since", "yesterday").exit_code == 2
    assert run("tail", "--client", "nobody").exit_code == 2


def test_a_span_of_minutes_is_written_as_everybody_does() -> None:
    spans = ("10m", "1.5h", "2d", "45s", "3min")
    assert [span_seconds(text) for text in spans] == [600, 5400, 172_800, 45, 180]
    assert [since(text).ago_seconds for text in spans] == [span_seconds(text) for text in spans]
    with pytest.raises(click.BadParameter, match="is no span such as 10m"):
        since("now")


@pytest.mark.parametrize("command", ["journal", "parked"])
def test_what_is_followed_is_shown_as_it_comes(world: World, start: Start, command: str) -> None:
    world.client(max_attempts=1)
    world.publish("a", "b")
    first, second = world.hand_over()
    world.fail(first)
    process = start(command, "c", "--follow", "--json")
    assert process.stdout is not None
    one = json.loads(process.stdout.readline())
    world.fail(second)
    world.eyes.execute("UPDATE fq.clients SET max_attempts = 3 WHERE id = 'c'")
    two = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)
    assert (process.returncode, rest) == (130, ("", ""))
    told = [(it.get("action"), it.get("offset")) for it in (one, two)]
    assert told == ([("register", None), ("change", None)] if command == "journal" else [(None, 1), (None, 2)])


def completed(words: list[str], incomplete: str) -> list[str]:
    class Typed(BashComplete):
        def get_completion_args(self) -> tuple[list[str], str]:
            return words, incomplete

    return [line.partition(",")[2] for line in Typed(main, {}, "eventbridge", "_X").complete().splitlines()]


def test_a_shell_completes_the_names_of_clients(world: World, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for id in ("billing", "billing-2", "mail"):
        world.client(id)
    monkeypatch.setenv("BRIDGE_DATABASE_URL", database)
    for command in ("explain", "pause", "seek", "parked", "status", "journal", "register", "redrive", "audit"):
        assert completed([command], "bil") == ["billing", "billing-2"], command
    assert completed(["tail", "--client"], "m") == ["mail"]
    assert completed(["-A", "no.such.app", "pause"], "") == []


def test_completion_is_quiet_where_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    environment = {"_EVENTBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "eventbridge pause ", "COMP_CWORD": "2"}
    code = "from bridge.__main__ import main; main(prog_name='eventbridge')"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"BRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.stdout.strip(), found.stderr) == ("", "")


def test_status_can_be_followed(start: Start, database: str) -> None:
    process = start("status", "--follow", "--json")
    assert process.stdout is not None
    stdout = process.stdout
    wait_until(lambda: json.loads(stdout.readline()) == [], what="one line of status")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130

"""The command line: what it does, what it shows, and that no input ends in a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result
from rich.console import Console

from bridge import __version__
from bridge.command import bridge
from bridge.command.status_view import status_view
from bridge.command.texts import plain
from tests.conftest import Connect
from tests.support.databases import Databases
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://127.0.0.1:1/nothing"

Run = Callable[..., Result]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _only_the_test_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "CELERY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("bridge.declare._declared", {})


def bill(event: dict[str, Any]) -> None: ...


def celery_app(url: str) -> Celery:
    """An app with a task of its own, on this database."""
    app = Celery("shop", set_as_current=False)
    app.conf.update(bridge_database_url=url, broker_url="memory://")
    app.task(name="shop.bill", shared=False)(bill)
    return app


def runner(url: str) -> Run:
    """Run commands in this process, as `celery -A shop bridge …` does."""
    app = celery_app(url)

    def run(*args: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(bridge, args, input=input, obj=CLIContext(app=app, no_color=False, workdir=None))

    return run


@pytest.fixture
def run(database: str) -> Run:
    return runner(database)


@pytest.fixture
def eyes(connect: Connect) -> psycopg.Connection[Any]:
    return connect()


def shell(*args: str, url: str = "", directory: Path = ROOT, input: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *args],
        cwd=directory,
        env=os.environ | {"BRIDGE_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    """Start commands in processes of their own, and end those that still run after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *args],
            cwd=ROOT,
            env=os.environ | {"BRIDGE_DATABASE_URL": database, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


def done(result: Result) -> str:
    """What a command that succeeded printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(result: Result) -> str:
    """The one line of a command that failed."""
    assert result.exit_code != 0
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr


def parsed(result: Result) -> Any:
    return json.loads(done(result))


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in done(result).splitlines()]


# Migrate -----------------------------------------------------------------------------------------------------


def test_migrate_says_what_it_applied_and_then_that_nothing_is_left(empty_database: str) -> None:
    run = runner(empty_database)
    assert "run `celery -A proj bridge migrate`" in refused(run("status"))
    assert "applied 0001" in done(run("migrate"))
    assert "was up to date" in done(run("migrate"))
    assert parsed(run("migrate", "--json")) == {"applied": []}
    assert parsed(run("status", "--json")) == []


def test_a_schema_newer_than_the_code_stops_every_command(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("UPDATE fq.alembic_version SET version_num = '9999'")
    for args in (
        ["status"],
        ["clients"],
        ["tail"],
        ["migrate"],
        ["publish", "a"],
        ["pause", "c"],
        ["register", "c", "--task", "t"],
    ):
        result = run(*args)
        assert "newer than this code" in refused(result), args
        assert result.exit_code == 1
    assert eyes.execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


def test_a_schema_that_is_somebody_else_s_is_left_alone(empty_database: str, connect: Connect) -> None:
    eyes = connect(empty_database)
    eyes.execute("CREATE SCHEMA fq CREATE TABLE theirs (id int)")
    run = runner(empty_database)
    result = run("migrate")
    assert "1 table that is not the bridge's" in refused(result)
    assert result.exit_code == 1
    assert eyes.execute("SELECT to_regclass('fq.clients')").fetchone() == (None,)


# Register and clients --------------------------------------------------------------------------------------------


def test_register_makes_a_client_with_what_is_given_and_defaults_for_the_rest(run: Run) -> None:
    args = [
        "--task",
        "shop.bill",
        "--topics",
        "order.*, invoice.#",
        "--window",
        "5",
        "--on-exhausted",
        "halt",
        "--backoff",
        "0.5",
    ]
    assert "client billing is registered and begins at the beginning" in done(run("register", "billing", *args))
    [client] = parsed(run("clients", "--json"))
    assert (client["id"], client["task"], client["queue"], client["state"]) == (
        "billing",
        "shop.bill",
        "celery",
        "active",
    )
    assert client["topics"] == ["order.*", "invoice.#"]
    assert (client["window"], client["on_exhausted"], client["backoff_seconds"]) == (5, "halt", 0.5)
    assert (client["ordering"], client["call"], client["max_attempts"]) == ("key", "event", 5)


def test_registering_again_changes_what_is_given_and_never_the_cursor(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("publish", "a")
    run("register", "billing", "--task", "shop.bill", "--topics", "order.*", "--start", "now")
    result = run("register", "billing", "--window", "7", "--start", "beginning")
    assert "window 1000 -> 7; its cursor stays at 1" in result.stdout
    assert "its cursor stays at 1" in result.stderr, "a start that has no effect is no silent one"
    assert "up to date" in done(run("register", "billing", "--window", "7"))
    row = eyes.execute('SELECT "offset", topics, "window" FROM fq.clients').fetchone()
    assert row == (1, ["order.*"], 7)


def test_another_task_needs_to_be_asked_for(run: Run) -> None:
    run("register", "billing", "--task", "shop.bill")
    result = run("register", "billing", "--task", "shop.pay")
    assert "--replace-task" in refused(result)
    assert parsed(run("clients", "--json"))[0]["task"] == "shop.bill"
    result = run("register", "billing", "--task", "shop.pay", "--replace-task", "--json")
    assert result.exit_code == 0
    [said] = json.loads(result.stdout)
    assert said["changed"] == {"task": {"from": "shop.bill", "to": "shop.pay"}}
    assert (said["client"], said["created"]) == ("billing", False)


def test_a_task_that_this_app_does_not_know_is_a_warning_and_no_error(run: Run) -> None:
    result = run("register", "billing", "--task", "fleet.bill")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: task 'fleet.bill' is not registered in app 'shop'")
    assert "registered" in result.stdout
    assert run("register", "other", "--task", "shop.bill").stderr == ""


@pytest.mark.parametrize(
    ("start", "offset"), [("beginning", -1), ("now", 3), ("2", 2), ("2020-01-01", 0), ("2999-01-01", 3)]
)
def test_a_new_client_begins_where_it_is_told(run: Run, start: str, offset: int) -> None:
    for _ in range(3):
        run("publish", "a")
    [said] = parsed(run("register", "c", "--task", "shop.bill", "--start", start, "--json"))
    assert (said["created"], said["offset"]) == (True, offset)


PROJECT = """
from celery import Celery
import bridge
app = Celery("project", broker="memory://")
@bridge.client("billing", topics=["order.*"], window=3)
@app.task
def bill(event): ...
@bridge.client("audit", start="now")
@app.task
def audit(event): ...
"""


def test_register_without_a_client_registers_what_the_code_declares(database: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "project.py").write_text(PROJECT)
    run("register", "audit", "--task", "somebody.else")
    result = shell("bridge", "-A", "project", "register", url=database, directory=tmp_path)
    assert "client billing is registered" in result.stdout
    assert "client 'audit' calls somebody.else, not project.audit" in result.stderr
    assert result.returncode == 2, "one client's trouble is not the others', but it is not hidden"
    result = shell("bridge", "-A", "project", "register", "--replace-task", url=database, directory=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    known = {client["id"]: client for client in parsed(run("clients", "--json"))}
    assert (known["billing"]["task"], known["billing"]["topics"], known["billing"]["window"]) == (
        "project.bill",
        ["order.*"],
        3,
    )
    assert known["audit"]["task"] == "project.audit"


def test_what_the_code_declares_need_not_be_given(database: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "project.py").write_text(PROJECT)
    result = shell("bridge", "-A", "project", "register", "billing", "--window", "9", url=database, directory=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    [client] = parsed(run("clients", "--json"))
    assert (client["id"], client["task"], client["topics"], client["window"]) == (
        "billing",
        "project.bill",
        ["order.*"],
        9,
    )


def test_a_task_module_that_does_not_import_is_named(database: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "project.py").write_text("from celery import Celery\napp = Celery('project', include=['broken'])\n")
    (tmp_path / "broken.py").write_text("\n\n1 / 0\n")
    result = shell("bridge", "-A", "project", "register", "c", "--task", "t", url=database, directory=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: the tasks of app 'project' can't be imported: ZeroDivisionError")
    assert "broken.py:3" in result.stderr
    assert parsed(run("clients", "--json")) == []


def test_clients_reads_as_sentences_also_for_a_reader_in_plain_sql(run: Run, eyes: psycopg.Connection[Any]) -> None:
    assert "no clients yet" in done(run("clients"))
    run("register", "billing", "--task", "shop.bill", "--ordering", "strict", "--max-attempts", "3")
    eyes.execute("""INSERT INTO fq.clients (id, "offset") VALUES ('by hand', 12)""")
    said = done(run("clients"))
    assert "task     shop.bill on queue celery, called with the whole event" in said
    assert "3 attempts, 1 s to 10 min apart, then park it" in said
    assert "by hand  reader\n  cursor   12, which it moves itself in SQL" in said


# Status ----------------------------------------------------------------------------------------------------------


def test_status_counts_what_is_behind_open_waiting_and_parked(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill", "--topics", "order.#")
    for topic in ("order.a", "other", "order.b", "order.c"):
        run("publish", topic)
    eyes.execute("""INSERT INTO fq.deliveries (client_id, "offset", epoch, due_at) VALUES ('billing', 1, 1, now())""")
    eyes.execute(
        """INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
           VALUES ('billing', 3, 1, 5, 5, 'exhausted', now())"""
    )
    [row] = parsed(run("status", "billing", "--json"))
    assert {
        "client",
        "state",
        "offset",
        "dispatched",
        "horizon",
        "lag_events",
        "lag_seconds",
        "open",
        "waiting",
        "parked",
    } <= set(row)
    assert (row["client"], row["state"], row["lag_events"], row["open"], row["parked"]) == (
        "billing",
        "active",
        3,
        1,
        1,
    )
    assert row["lag_seconds"] > 0
    assert parsed(run("status", "--json"))[0]["client"] == "billing"
    table = done(run("status"))
    assert [word for line in table.splitlines() if line.startswith("billing") for word in line.split()][:3] == [
        "billing",
        "active",
        "3",
    ]
    assert "1 / 1,000" in table


def test_status_says_why_a_client_stands_still(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill")
    eyes.execute(
        "UPDATE fq.clients SET state = 'halted', state_by = 'bridge', state_reason = 'event 7', trouble = 'no [red]queue'"
    )
    said = done(run("status"))
    assert "billing is halted by bridge: event 7" in said
    assert "billing could not be served: no [red]queue" in said


def a_row(**other: Any) -> dict[str, Any]:
    row = {
        "client": "c",
        "state": "active",
        "lag_events": 1,
        "lag_seconds": 1.0,
        "open": 2,
        "window": 1000,
        "waiting": 0,
        "parked": 3,
    }
    return row | {"offset": 10, "dispatched": 12, "horizon": 12, "retrying": 0, "trouble": None} | other


@pytest.mark.parametrize("width", [140, 100, 60, 40])
def test_a_narrow_terminal_loses_columns_and_no_digits(width: int) -> None:
    out = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    rows = [a_row(), a_row(client="a-client-with-a-very-long-name.production", lag_events=100_000, parked=123_456)]
    out.print(status_view(rows, width=width))
    out.file.close()
    text = out.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "100,000+" in text
    assert "123,456" in text
    assert ("dispatched" in text, "offset" in text, "open" in text) == (width > 60, width > 60, width > 40)


def test_a_watched_status_ends_quietly_at_ctrl_c(run: Run, start: Start) -> None:
    run("register", "billing", "--task", "shop.bill")
    process = start("status", "--watch", "0.1", "--json")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())[0]["client"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)
    assert (seen, process.returncode, rest[1]) == (["billing", "billing"], 130, "")


# Pause and resume ----------------------------------------------------------------------------------------------


def test_pause_and_resume_are_on_the_record(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill")
    assert "until `bridge resume billing`" in done(run("pause", "billing", "--reason", "deploy"))
    state, reason, by = eyes.execute("SELECT state, state_reason, state_by FROM fq.clients").fetchone()  # type: ignore[misc]
    assert (state, reason) == ("paused", "deploy")
    assert "@" in by
    assert f"billing is paused by {by}: deploy" in done(run("status"))
    done(run("resume", "billing"))
    assert eyes.execute("SELECT state FROM fq.clients").fetchone() == ("active",)
    assert "paused" not in done(run("status"))


# Publish ---------------------------------------------------------------------------------------------------------


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


# Tail ------------------------------------------------------------------------------------------------------------


def offsets(result: Result) -> list[int]:
    return [event["offset"] for event in lines(result)]


def test_tail_shows_the_last_events_or_those_from_a_place_on(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("INSERT INTO fq.events (topic) SELECT 'order.' || n % 2 FROM generate_series(1, 1200) n")
    assert offsets(run("tail", "--json")) == list(range(1191, 1201))
    assert offsets(run("tail", "--json", "-n", "3")) == [1198, 1199, 1200]
    assert offsets(run("tail", "--json", "-n", "0")) == []
    assert offsets(run("tail", "--json", "--from", "600", "-n", "3")) == [600, 601, 602]
    assert offsets(run("tail", "--json", "--from", "beginning")) == list(range(1, 1201)), "page after page"
    assert offsets(run("tail", "--json", "--from", "now")) == []
    assert offsets(run("tail", "--json", "--from", "2020-01-01", "-n", "1")) == [1]
    assert offsets(run("tail", "--json", "--from", "5000")) == []


def test_tail_filters_by_topic_and_looks_back_as_far_as_it_must(run: Run, eyes: psycopg.Connection[Any]) -> None:
    eyes.execute("INSERT INTO fq.events (topic) VALUES ('rare.one'), ('rare.two'), ('rare.three')")
    eyes.execute("INSERT INTO fq.events (topic) SELECT 'order' FROM generate_series(1, 700)")
    assert offsets(run("tail", "--json", "--topics", "rare.*", "-n", "2")) == [2, 3]
    assert offsets(run("tail", "--json", "--topics", "rare.one,rare.three")) == [1, 3]
    assert offsets(run("tail", "--json", "--topics", "rare.*", "--from", "2")) == [2, 3]
    assert offsets(run("tail", "--json", "--topics", "none.#")) == []


def test_an_event_above_one_that_may_still_appear_is_not_shown_yet(run: Run, connect: Connect) -> None:
    slow = connect(autocommit=False)
    slow.execute("INSERT INTO fq.events (topic) VALUES ('slow')")
    run("publish", "quick")
    assert offsets(run("tail", "--json")) == []
    slow.commit()
    assert offsets(run("tail", "--json")) == [1, 2]


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


# Bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untouched(_databases: Databases, template: str) -> Iterator[str]:
    """The URL of a database that many tests share, because none of them may change it."""
    with _databases.clone() as url:
        yield url


BAD = [
    (["status", "nobody"], 2, "no client 'nobody' is registered"),
    (["pause", "nobody"], 2, "no client 'nobody' is registered"),
    (["resume", "nobody"], 2, "no client 'nobody' is registered"),
    (["register"], 2, "declares no clients"),
    (["register", "--window", "3"], 2, "name the CLIENT"),
    (["register", "c"], 2, "say which task it calls (--task NAME)"),
    (["register", "a b", "--task", "t"], 2, "client id 'a b' is not usable"),
    (["register", "c", "--task", "t", "--window", "0"], 2, "window is 0, must be a whole number from 1"),
    (["register", "c", "--task", "t", "--window", "many"], 2, "'many' is not a valid integer"),
    (["register", "c", "--task", "t", "--max-attempts", "0"], 2, "max_attempts is 0"),
    (["register", "c", "--task", "t", "--backoff", "-1"], 2, "backoff_seconds is -1.0"),
    (["register", "c", "--task", "t", "--ack-timeout", "0"], 2, "ack_timeout_seconds is 0.0"),
    (["register", "c", "--task", "t", "--topics", "a..b"], 2, "topic pattern 'a..b' is malformed"),
    (["register", "c", "--task", "t", "--topics", ""], 2, "topic pattern '' is malformed"),
    (["register", "c", "--task", "t", "--ordering", "fifo"], 2, "'fifo' is not one of"),
    (["register", "c", "--task", "t", "--start", "soon"], 2, "position 'soon' is not one of"),
    (["register", "c", "--task", "t", "--start", "99"], 2, "offset 99 is above the horizon"),
    (["register", "c", "--task", ""], 2, "task is '', must be text, not empty"),
    (["publish"], 2, "name the TOPIC"),
    (["publish", "a..b"], 2, "topic 'a..b' is malformed"),
    (["publish", "a.*"], 2, "topic 'a.*' is malformed"),
    (["publish", "a", "hello"], 2, "payload is not JSON: expecting value at line 1 column 1: text needs double quotes"),
    (["publish", "a", "NaN"], 2, "payload is not JSON"),
    (["publish", "a", '"\\u0000"'], 2, "payload holds a NUL character"),
    (["publish", "a", '"\\ud800"'], 2, "payload holds half a surrogate pair"),
    (["publish", "a", "[" * 300 + "]" * 300], 2, "payload is nested too deeply"),
    (["publish", "a", "[" * 100_000], 2, "payload is nested too deeply"),
    (["publish", "a", "1" * 5000], 2, "payload is not JSON that can be read"),
    (["publish", "a", "1", "--headers", "[]"], 2, "headers must be a mapping"),
    (["publish", "a", "1", "--headers", "{"], 2, "headers is not JSON"),
    (["publish", "a", "1", "--key", "\udcff"], 2, "must be text without NUL or half characters"),
    (["publish", "--many", "/no/such/file"], 2, "No such file"),
    (["publish", "a", "--many", "-"], 2, "come from the file"),
    (["tail", "--topics", "*x"], 2, "topic pattern '*x' is malformed"),
    (["tail", "--from", "x"], 2, "position 'x' is not one of"),
    (["tail", "-n", "-1"], 2, "-1 is not in the range"),
    (["status", "--watch", "0"], 2, "0.0 is not in the range"),
    (["nonsense"], 2, "No such command 'nonsense'"),
    (["status", "--nonsense"], 2, "No such option"),
    (["demo", "--events", "0"], 2, "0 is not in the range"),
]


@pytest.mark.parametrize(("args", "code", "message"), BAD, ids=[" ".join(args)[:40] for args, _, _ in BAD])
def test_bad_input_is_named_and_changes_nothing(
    untouched: str, connect: Connect, args: Sequence[str], code: int, message: str
) -> None:
    result = runner(untouched)(*args)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert (result.exit_code, result.stdout) == (code, "")
    assert isinstance(result.exception, SystemExit)
    assert connect(untouched).execute(
        "SELECT (SELECT count(*) FROM fq.clients), (SELECT count(*) FROM fq.events)"
    ).fetchone() == (
        0,
        0,
    )


BAD_LINES = [
    ("[1]", "line 2 is not a JSON object"),
    ("{", "line 2 is not JSON"),
    ('{"payload": 1}', "line 2 names no topic"),
    ('{"topic": 7}', "line 2: topic 7 is malformed"),
    ('{"topic": "a", "keys": 1}', "line 2 has a field 'keys'"),
    ('{"topic": "a", "key": 1}', "line 2: key 1 must be text"),
    ('{"topic": "a", "key": "\\u0000"}', "line 2: key '\\x00' must be text"),
    ('{"topic": "a", "headers": 1}', "line 2: headers must be a mapping"),
    ('{"topic": "a", "payload": "\\u0000"}', "line 2: payload holds a NUL"),
    (b'{"topic": "a", "payload": "\xff"}', "line 2 is not UTF-8 text"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_published(
    untouched: str, connect: Connect, line: str | bytes, message: str
) -> None:
    line = line if isinstance(line, bytes) else line.encode()
    result = runner(untouched)("publish", "--many", "-", input=b'{"topic": "good"}\n' + line)
    assert message in refused(result)
    assert result.exit_code == 2
    assert connect(untouched).execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


@pytest.mark.parametrize("args", [["status"], ["migrate"], ["tail"], ["clients"], ["publish", "a"], ["pause", "c"]])
def test_a_database_that_is_away_is_a_failure_in_one_line(args: list[str]) -> None:
    run = runner(NOWHERE)
    result = run(*args)
    assert "Postgres is not available" in refused(result)
    assert result.exit_code == 1


def test_a_setting_that_is_missing_or_malformed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner("mysql://here/there")
    result = run("status")
    assert "the bridge needs postgresql://" in refused(result)
    assert result.exit_code == 2
    app = Celery("bare", set_as_current=False)
    context = CLIContext(app=app, no_color=False, workdir=None)
    assert "BRIDGE_DATABASE_URL" in refused(CliRunner().invoke(bridge, ["status"], obj=context))
    monkeypatch.setenv("BRIDGE_PASS_LIMIT", "lots")
    app = Celery("odd", set_as_current=False)
    context = CLIContext(app=app, no_color=False, workdir=None)
    assert "BRIDGE_PASS_LIMIT in the environment is 'lots'" in refused(
        CliRunner().invoke(bridge, ["status"], obj=context)
    )


def test_a_configuration_that_does_not_import_is_named(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(
        "from celery import Celery\napp = Celery('p')\napp.config_from_object('missing')\n"
    )
    result = shell("bridge", "-A", "project", "status", directory=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: the configuration of app 'p' can't be read: ModuleNotFoundError")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module", "app 'no_such_module' can't be loaded: ModuleNotFoundError"),
        ("json", "app 'json' can't be loaded: AttributeError"),
        ("json:dumps", "'json:dumps' is no Celery app but function"),
        ("broken", "RuntimeError: at import ({directory}/broken.py:1)"),
        ("misspelt", "SyntaxError: invalid syntax ({directory}/misspelt.py:2)"),
    ],
)
def test_an_app_that_can_t_be_found_is_named(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "misspelt.py").write_text("\napp = = 1\n")
    result = shell("bridge", "-A", name, "status", directory=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message.format(directory=tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1


# The two faces ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "face", [("bridge",), ("celery", "-A", "bridge", "bridge")], ids=["python -m bridge", "celery bridge"]
)
def test_both_faces_do_the_same(face: tuple[str, ...], empty_database: str) -> None:
    def face_does(*args: str, input: str = "") -> tuple[int, str, str]:
        result = shell(*face, *args, url=empty_database, input=input)
        return result.returncode, result.stdout, result.stderr

    code, out, err = face_does("status")
    assert (code, out) == (1, "")
    assert err.startswith("error: the database has no schema fq yet")
    assert face_does("migrate")[0] == 0
    code, out, err = face_does("register", "billing", "--task", "shop.bill")
    assert (code, "client billing is registered" in out) == (0, True)
    assert err.startswith("warning: task 'shop.bill' is not registered in app 'bridge'")
    assert face_does("publish", "a", "-", input="[1]") == (0, "1\n", "")
    code, out, err = face_does("status", "--json")
    assert (code, err, json.loads(out)[0]["lag_events"]) == (0, "", 1)


@pytest.mark.parametrize(("name", "command"), [("bridge", bridge), *bridge.commands.items()])
def test_every_command_and_option_says_what_it_is_for(name: str, command: click.Command) -> None:
    assert command.help
    assert command.help.split("\n")[0].endswith("."), name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


def test_the_help_lists_every_command_in_one_section() -> None:
    listed = [name for names in bridge.sections.values() for name in names]
    assert sorted(listed) == sorted(bridge.commands)
    said = CliRunner().invoke(bridge, ["--help"], terminal_width=80).stdout
    assert "..." not in said.replace("[ARGS]...", ""), "a sentence that is cut off"
    assert [line for line in said.splitlines() if line in ("Set up:", "Watch:", "Act:", "Try:")] == [
        "Set up:",
        "Watch:",
        "Act:",
        "Try:",
    ]


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(bridge, ["--version"]).stdout == f"celery-event-bridge, version {__version__}\n"


def test_the_demo_s_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def run(*, events: int | None) -> int:
        asked.append(events)
        return 1 if events else 0

    monkeypatch.setattr("bridge.demo.run", run)
    assert CliRunner().invoke(bridge, ["demo"]).exit_code == 0
    assert CliRunner().invoke(bridge, ["demo", "--events", "5"]).exit_code == 1
    assert asked == [None, 5]


# Words -----------------------------------------------------------------------------------------------------------


def test_text_from_the_log_shows_what_it_is_made_of() -> None:
    assert plain("a\x1b]0;title\x07b\u202eü") == r"a\x1b]0;title\x07b\u202eü"

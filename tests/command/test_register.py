"""`register` and `clients`: settings, declarations in code, and where a new client begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.command.running import Run, done, parsed, refused, shell
from tests.support.world import World

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


def test_a_serializer_that_is_not_known_here_is_named(run: Run) -> None:
    result = run("register", "billing", "--task", "shop.bill", "--serializer", "ymal")
    assert result.exit_code == 0, "the bridge worker may know it"
    assert "kombu knows no serializer 'ymal' here" in result.stderr
    assert "`bridge register billing --serializer json`" in result.stderr


def test_the_help_names_no_bound_that_there_is_not(run: Run) -> None:
    assert "None]" not in done(run("register", "--help"))


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


@pytest.mark.parametrize("option", ["--report-by", "--commit"])
def test_how_outcomes_are_reported_is_set_by_its_new_and_its_old_name(run: Run, option: str) -> None:
    done(run("register", "billing", "--task", "shop.bill", option, "in-process"))
    assert parsed(run("clients", "--json"))[0]["report_by"] == "in-process"


@pytest.mark.parametrize(
    ("start", "offset"), [("beginning", -1), ("now", 3), ("2", 2), ("2020-01-01", 0), ("2999-01-01", 3)]
)
def test_a_new_client_begins_where_it_is_told(run: Run, start: str, offset: int) -> None:
    for _ in range(3):
        run("publish", "a")
    [said] = parsed(run("register", "c", "--task", "shop.bill", "--start", start, "--json"))
    assert (said["created"], said["offset"]) == (True, offset)


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


def test_a_setting_that_was_empty_is_shown_as_none(run: Run) -> None:
    done(run("register", "c", "--task", "shop.bill"))
    assert "rate none -> 100/s;" in done(run("register", "c", "--rate", "100/s"))
    assert "rate none -> 100/s" in done(run("journal", "c", "-n", "1"))


def test_another_queue_says_what_is_open_in_the_one_before(run: Run, world: World) -> None:
    world.client(queue="old")
    assert run("register", "c", "--queue", "older").stderr == "", "nothing is open"
    world.publish(None, None)
    world.hand_over()
    found = run("register", "c", "--queue", "new")
    assert found.exit_code == 0
    assert "2 open events were handed over to queue 'older', where the bridge does not look any more" in found.stderr
    assert "pause c --drain` lets them finish" in found.stderr
    assert run("register", "c", "--window", "9").stderr == ""

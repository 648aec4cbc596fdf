"""`eventbridge`, `python -m bridge` and `celery bridge` do the same, and advise what can be typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bridge import __version__
from bridge.command import bridge
from bridge.command.invocation import as_typed
from bridge.settings.client import SETTINGS
from tests.command.running import called

BIN = Path(sys.executable).parent
WAYS = {
    "eventbridge": [f"{BIN}/eventbridge"],
    "eventbridge -A bridge.celery": [f"{BIN}/eventbridge", "--app=bridge.celery"],
    "python -m bridge": [sys.executable, "-m", "bridge"],
    "celery -A bridge bridge": [f"{BIN}/celery", "-A", "bridge", "bridge"],
    "python -m celery -A bridge.celery:app bridge": [
        *(sys.executable, "-m", "celery", "--quiet", "--app", "bridge.celery:app", "bridge"),
    ],
}


OFTEN = "python -m bridge"
TYPED = [pytest.param(typed, marks=[] if typed == OFTEN else [pytest.mark.slow]) for typed in WAYS]


@pytest.mark.parametrize("typed", TYPED)
def test_every_way_of_calling_does_the_same_and_advises_what_can_be_typed(typed: str, empty_database: str) -> None:
    def call(*args: str, input: str = "") -> tuple[int, str, str]:
        result = called(*WAYS[typed], *args, url=empty_database, input=input)
        return result.returncode, result.stdout, result.stderr

    assert call("status") == (1, "", f"error: the database has no schema fq yet: run `{typed} migrate`\n")
    assert call("migrate")[0] == 0
    code, out, err = call("register", "billing", "--task", "shop.bill")
    assert (code, "client billing is registered" in out, err) == (0, True, "")
    assert call("publish", "a", "-", input="[1]") == (0, "1\n", "")
    code, out, err = call("status", "--json")
    assert (code, err, json.loads(out)[0]["lag_events"]) == (0, "", 1)
    assert f"until `{typed} resume billing`" in call("pause", "billing")[1]
    assert f"-> `{typed} resume billing`" in call("explain", "billing", "--offline")[1]
    paused = json.loads(call("explain", "billing", "--offline", "--json")[1])["causes"][0]
    assert (paused["cause"], paused["severity"], paused["do"]) == ("paused", "warning", f"`{typed} resume billing`")
    assert call("status", "nobody")[2].endswith(f"`{typed} clients` lists them\n")


def test_text_that_advises_nothing_and_text_outside_of_a_command_stay_as_they_are() -> None:
    assert as_typed("run `eventbridge migrate`") == "run `eventbridge migrate`"
    with click.Context(bridge, info_name="python -m bridge"):
        assert as_typed("run `eventbridge migrate`") == "run `python -m bridge migrate`"
        assert as_typed("my eventbridge, `eventbridges`") == "my eventbridge, `eventbridges`"


@pytest.mark.parametrize(("name", "command"), [("bridge", bridge), *bridge.commands.items()])
def test_every_command_and_option_says_what_it_is_for(name: str, command: click.Command) -> None:
    assert command.help
    assert command.help.split("\n")[0].endswith("."), name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
            said = parameter.metavar or parameter.is_flag or isinstance(parameter.type, click.Choice)
            assert said, f"{name} --{parameter.name} is shown with click's own word for its value"
            assert parameter.metavar not in ("AGE", "TEXT RANGE", "INTEGER RANGE", "FLOAT RANGE"), parameter.name


def test_the_old_name_of_an_option_is_understood_and_not_shown() -> None:
    said = CliRunner().invoke(bridge, ["register", "--help"]).stdout
    assert "--report-by" in said
    assert "--commit" not in said


def test_the_help_of_register_shows_every_setting_of_a_client_with_its_default() -> None:
    said = " ".join(CliRunner().invoke(bridge, ["register", "--help"], terminal_width=200).stdout.split())
    for setting in SETTINGS.values():
        assert setting.help in said
    for option in ("--queue NAME", "--backoff-max SECONDS", "--batch-wait MS", "--route PATTERN=TASK", "--topics P,P"):
        assert option in said
    for default in ("[celery]", "[#]", "[1000]", "[600]", "[3600]", "[park]", "[callback]"):
        assert default in said


def test_the_help_lists_every_command_in_one_section() -> None:
    listed = [it.name for commands in bridge.sections.values() for it in commands]
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


def test_the_help_of_register_shows_no_empty_default_and_names_units() -> None:
    said = CliRunner().invoke(bridge, ["register", "--help"], terminal_width=80).stdout
    assert "[]" not in said and "--rate RATE" in said and "--batch-wait MS" in said and "--backoff SECONDS" in said

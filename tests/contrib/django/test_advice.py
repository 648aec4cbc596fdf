"""In a Django project errors and lines of the log advise `manage.py bridge …`, which is what its people can type."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import click
import pytest

from bridge.calling import NEUTRAL, as_called
from bridge.command import bridge
from bridge.command.invocation import as_typed
from bridge.errors import UnknownClient
from bridge.happened import Happening
from bridge.observe.advice import LOGGERS
from bridge.observe.lines import write_lines

ROOT = Path(__file__).parents[3] / "bridge"


def test_a_line_of_the_log_and_an_error_advise_what_can_be_typed(
    project: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_lines([Happening(kind="parked", client="billing", offset=7)])
    assert "(see `manage.py bridge parked billing`)" in caplog.text and "eventbridge" not in caplog.text
    assert str(UnknownClient("x")).endswith("`manage.py bridge clients` lists them")
    logging.getLogger("bridge.watch").warning("see `eventbridge explain %s`", "x")
    assert caplog.messages[-1] == "see `manage.py bridge explain x`"
    assert as_called("my eventbridge, `eventbridges`") == "my eventbridge, `eventbridges`"


def test_the_command_line_says_how_it_was_called_itself(project: str) -> None:
    with click.Context(bridge, info_name="python -m bridge"):
        for text in ("run `eventbridge migrate`", str(UnknownClient("x")), "run `manage.py bridge migrate`"):
            assert "`python -m bridge " in as_typed(text)


def test_outside_of_django_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.calling._here", [NEUTRAL])
    assert as_called("run `eventbridge migrate`") == "run `eventbridge migrate`"


def test_every_logger_of_the_package_is_among_those_that_are_filtered() -> None:
    named = re.compile(r"getLogger\((?:\"(?P<name>bridge[\w.]*)\"|(?P<own>__name__))\)")
    found = {
        match["name"] or f"bridge.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in ROOT.rglob("*.py")
        for match in named.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set(LOGGERS)

"""What the log says while a server is away: one line, one a minute, one when it is back (G10)."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridge
from bridge.trouble import Few, Trouble
from bridge.wording import SAID_CHARACTERS


def test_g10_an_outage_is_a_line_then_one_a_minute_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    trouble = Trouble(logging.getLogger("bridge"), what="outcomes wait", over="they are settled", clock=lambda: now)
    trouble.back()
    for second in range(150):
        now = float(second)
        trouble.went(f"away {second}")
    assert trouble.is_on
    now = 160.0
    trouble.back()
    trouble.back()
    assert caplog.messages == [
        "outcomes wait: away 0",
        "outcomes wait, for 1 min now: away 60",
        "outcomes wait, for 2 min now: away 120",
        "they are settled, after 2.7 min",
    ]
    assert not trouble.is_on
    trouble.went("away again")
    assert caplog.messages[-1] == "outcomes wait: away again"


def test_an_unexpected_error_brings_its_traceback_once(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(logging.getLogger("bridge"), what="it waits", over="it goes on", clock=lambda: 0.0)
    for _ in range(3):
        trouble.went("no idea", unexpected=ValueError("no idea"))
    assert caplog.text.count("ValueError") == 1


def test_what_a_server_says_can_neither_begin_a_line_of_its_own_nor_reach_the_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble(logging.getLogger("bridge"), what="it waits", over="it goes on", clock=lambda: 0.0)
    trouble.went("no\n[2030-01-01 00:00:00: INFO] all is well\x1b[2J" + "x" * 10_000)
    [line] = caplog.messages
    assert line.startswith(r"it waits: no [2030-01-01 00:00:00: INFO] all is well\x1b[2Jx")
    assert line.isprintable() and len(line) < SAID_CHARACTERS + 50


def test_g10_of_lines_that_come_by_the_thousand_a_few_a_minute_are_left_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    lines = Few(logging.getLogger("bridge"), most=3, clock=lambda: now)
    for nth in range(1000):
        lines.say(logging.WARNING, f"message {nth} is set aside")
    assert caplog.messages == [
        "message 0 is set aside",
        "message 1 is set aside",
        "message 2 is set aside; further lines like this wait for a minute",
    ]
    caplog.clear()
    now = 60.0
    for nth in range(2):
        lines.say(logging.ERROR, f"message {nth} is dropped")
    assert caplog.messages == [
        "997 lines like the following went unsaid",
        "message 0 is dropped",
        "message 1 is dropped",
    ]
    caplog.clear()
    now = 120.0
    lines.say(logging.WARNING, "and one more")
    assert caplog.messages == ["and one more"]


ERRORS = {"error", "why", "problem"}


def as_they_came(module: Path) -> Iterator[str]:
    """Yield the places where a line of the log shows an error as it came."""
    for call in ast.walk(ast.parse(module.read_text())):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and "logger" in ast.dump(call.func.value)
        ):
            for arg in call.args[1:]:
                name = arg.attr if isinstance(arg, ast.Attribute) else arg.id if isinstance(arg, ast.Name) else ""
                if name in ERRORS:
                    yield f"{module.name}:{arg.lineno} logs `{name}` without `said`"


def test_no_line_of_the_log_shows_an_error_as_it_came() -> None:
    package = Path(bridge.__file__).parent
    assert [place for module in sorted(package.rglob("*.py")) for place in as_they_came(module)] == []

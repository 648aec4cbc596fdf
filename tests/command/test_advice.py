"""Every command that a message, docstring, SQL hint, comment or doc names exists, with the options that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.command import bridge

ROOT = Path(__file__).parents[2]
# A command as it is typed, such as `eventbridge status`, $ python -m bridge status, or celery -A shop bridge status.
NAMED = re.compile(
    r"(?:`|\$ |-A [\w.:]+ |python3? -m |/)(?:event)?bridge(?: -A [\w.:]+)? (?P<name>[a-z]+)(?P<rest>[^`\n|]*)"
)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
READ = ("*.md", "*.py", "*.yml", "*.yaml", "*.toml", "Makefile", "scripts/*")
FOLDERS = {"bridge": ("*.py", "*.sql"), "docs": ("*.md",), "benchmarks": ("*.py", "*.md"), "tasks": ("*.py",)}


def texts() -> Iterator[tuple[str, str]]:
    paths = [path for pattern in READ for path in ROOT.glob(pattern)]
    for folder, patterns in FOLDERS.items():
        paths += [path for pattern in patterns for path in (ROOT / folder).rglob(pattern)]
    for path in sorted(path for path in paths if path.is_file()):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def untrue(text: str) -> list[str]:
    """The commands in a text that do not exist, or not with these options."""
    found = []
    for named in NAMED.finditer(text):
        command = bridge.commands.get(named["name"])
        known = {option for parameter in command.params for option in parameter.opts} if command else set()
        if command is None or set(OPTION.findall(named["rest"])) - known - {"--help"}:
            found.append(named[0])
    return found


def test_every_command_that_is_named_exists_with_its_options() -> None:
    wrong = {path: found for path, text in texts() if (found := untrue(text))}
    assert wrong == {}


def test_messages_of_the_package_name_commands_in_the_form_that_the_command_line_replaces() -> None:
    wrong = {
        path: [named[0] for named in NAMED.finditer(text) if named[0].startswith("`bridge ")]
        for path, text in texts()
        if path.startswith("bridge/")
    }
    assert {path: found for path, found in wrong.items() if found} == {}


def test_what_a_command_prints_and_advises_goes_through_say() -> None:
    printed = re.compile(r"click\.(?:echo|secho)\([^)]*?`eventbridge ")
    folder = ROOT / "bridge" / "command"
    assert [path.name for path in folder.glob("*.py") if printed.search(path.read_text(encoding="utf-8"))] == []


def test_there_are_commands_to_be_checked() -> None:
    counts = {path: len(NAMED.findall(text)) for path, text in texts()}
    assert counts["README.md"] >= 2
    assert counts["bridge/operate/explain/client.py"] >= 4
    assert counts["bridge/sql/schema/05_cursor.sql"] == 1
    assert counts["docs/running.md"] >= 3


@pytest.mark.parametrize(
    "text",
    [
        "see `bridge resink`",
        "see `eventbridge -A shop docter`",
        "HINT = format('use `eventbridge seek %s --at %s`')",
        "$ python -m bridge regist billing",
        "`celery -A shop bridge recal c`",
        "run `eventbridge register {client} --until 5`",
    ],
)
def test_a_command_or_option_that_does_not_exist_is_found(text: str) -> None:
    assert len(untrue(text)) == 1


@pytest.mark.parametrize("text", ["`celery -A bridge worker -B -Q bridge`", "the bridge resyncs", "`bridge.pump`"])
def test_what_is_no_command_of_the_bridge_is_left_alone(text: str) -> None:
    assert untrue(text) == []

"""The docs: links lead somewhere, commands that are shown can be typed, and the layers are those that are checked."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
import tornado.options
from celery.bin.worker import worker
from django.core.management import get_commands

from bridge.command import bridge
from bridge.observe.log_format import LOG_FORMAT
from bridge.settings.bridge import LogFormat
from tests.support.stage import REPOSITORY

PAGES = sorted(
    page.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "tests/**/*.md", "benchmarks/**/*.md")
    for page in REPOSITORY.glob(pattern)
)
LONGEST_LINE = 120
ELSEWHERE = ("http://", "https://", "mailto:")


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", (REPOSITORY / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> Iterator[tuple[str, str]]:
    """Yield the page and the text of every command that a `console` block shows."""
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```$", (REPOSITORY / page).read_text(), re.DOTALL | re.MULTILINE):
            for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE):
                yield str(page), line


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_to_a_file_and_a_heading_in_it(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(ELSEWHERE):
            continue
        name, _, anchor = target.partition("#")
        found = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        assert found.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(found), f"{page} links to {target}, and no heading is called so"


@pytest.mark.parametrize(("page", "command"), [*commands()])
def test_a_command_that_is_shown_can_be_typed(page: str, command: str) -> None:
    words = [word for word in shlex.split(command, comments=True) if word != "&"]
    match words:
        case ["eventbridge", "--log-format", format, name, *args]:
            assert format in get_args(LogFormat)
            assert name in bridge.commands
        case ["eventbridge", name, *args]:
            command_line = bridge.commands[name]
            with click.Context(command_line, info_name=name) as context:
                command_line.parse_args(context, list(args))
        case ["python", "manage.py", "bridge", name, *args]:
            bridge.commands[name].make_parser(click.Context(bridge.commands[name])).parse_args(list(args))
        case ["python", "manage.py", name, *_]:
            assert name in get_commands()
        case ["celery", "-A", _, "worker", *args]:
            installed = click.Command("worker", params=[*worker.params, LOG_FORMAT])
            installed.make_parser(click.Context(installed)).parse_args(list(args))
        case ["celery", "-A", _, "flower", option]:
            assert importlib.import_module("flower.options")
            assert option.removeprefix("--").partition("=")[0] in tornado.options.options
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        case [".venv/bin/python", "-m", "pytest", *args]:
            assert (REPOSITORY / args[0]).exists()
        case [script] if "/" in script:
            assert (REPOSITORY / script).exists()
        case ["cat", pattern, ">", target]:
            assert list(REPOSITORY.glob(pattern)) and (REPOSITORY / target).parent.is_dir()
        case ["pip" | "export", *_]:
            pass
        case _:
            pytest.fail(f"{page} shows a command that this test does not know: {command}")


def test_the_layers_in_the_docs_are_those_that_are_checked() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    [contract] = settings["tool"]["importlinter"]["contracts"]
    text = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    assert "```\n" + "\n".join(contract["layers"]) + "\n```\n" in text


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_are_not_too_long(page: Path) -> None:
    lines = [line for line in (REPOSITORY / page).read_text().splitlines() if not line.startswith("|")]
    assert not [line for line in lines if len(line) > LONGEST_LINE]

"""The docs: links lead somewhere, commands that are shown can be typed, and the layers are those that are checked."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
import tornado.options
from celery.bin.worker import worker
from django.core.management import get_commands

from bridge import Operator
from bridge.command import bridge
from bridge.observe.log_format import LOG_FORMAT
from bridge.operate.explain import Cause
from bridge.settings.bridge import LogFormat
from tests.conftest import OLDEST_POSTGRES
from tests.support.following import blocks
from tests.support.stage import REPOSITORY

PAGES = sorted(
    page.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "tests/**/*.md", "benchmarks/**/*.md")
    for page in REPOSITORY.glob(pattern)
)
LONGEST_LINE = 120
# Not ours. tests/walks types those that a reader needs; tests/test_pages.py counts the blocks that can't be run.
OTHERS = {
    "cp",
    "createdb",
    "curl",
    "docker",
    "export",
    "install",
    "kubectl",
    "pip",
    "python",
    "python3",
    "systemctl",
    "useradd",
    "uvicorn",
}
WALKED = ["tutorial.md", "adopt.md", "fastapi.md"]  # by readers who may follow one after the other
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
    command = re.sub(r"^eventbridge -A \w+", "eventbridge", command)
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
        case ["celery", "-A", _, "flower", *options]:
            assert importlib.import_module("flower.options")
            assert {it.removeprefix("--").partition("=")[0] for it in options} <= set(tornado.options.options)
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        case [".venv/bin/python", "-m", "pytest", *args]:
            assert (REPOSITORY / args[0]).exists()
        case [script] if "/" in script:
            assert (REPOSITORY / script).exists()
        case ["cat", pattern, ">", target]:
            assert list(REPOSITORY.glob(pattern)) and (REPOSITORY / target).parent.is_dir()
        case [program, *_] if program in OTHERS:
            pass
        case _:
            pytest.fail(f"{page} shows a command that this test does not know: {command}")


@pytest.mark.parametrize("page", WALKED)
def test_a_page_that_is_walked_installs_what_it_types(page: str) -> None:
    typed = [command.line for block in blocks(page) for command in block.commands()]
    installed = " ".join(line for line in typed if line.startswith("pip install"))
    wanted = {"flower" for line in typed if line.endswith(" flower")} | {"uvicorn" for it in typed if "uvicorn " in it}
    assert wanted <= set(installed.split())
    assert any(line.startswith("createdb ") for line in typed) or "`createdb " in prose(Path("docs") / page)


def test_no_page_that_is_walked_gets_in_the_way_of_another() -> None:
    texts = {page: (REPOSITORY / "docs" / page).read_text() for page in WALKED}
    for pattern in (r"(?<=//localhost/)[a-z]+", r"(?<=redis://localhost:6379/)\d+"):
        found = [it for text in texts.values() for it in set(re.findall(pattern, text))]
        assert len(found) == len(set(found)) == len(WALKED), f"two logs in one place: {found}"


def test_the_layers_in_the_docs_are_those_that_are_checked() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    [contract] = settings["tool"]["importlinter"]["contracts"]
    text = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    assert "```\n" + "\n".join(contract["layers"]) + "\n```\n" in text


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_are_not_too_long(page: Path) -> None:
    lines = [line for line in (REPOSITORY / page).read_text().splitlines() if not line.startswith("|")]
    assert not [line for line in lines if len(line) > LONGEST_LINE]


def test_each_verb_of_an_operator_stands_in_the_table_of_verbs() -> None:
    text = (REPOSITORY / "docs" / "running.md").read_text()
    table = text.split("| to look | to act |")[1].split("\n\n")[0]
    verbs = {name for name in dir(Operator) if not name.startswith("_") and callable(getattr(Operator, name))}
    assert set(re.findall(r"`(\w+)`", table)) - {"with"} == verbs


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_heading_stands_behind_an_empty_line(page: Path) -> None:
    assert not re.findall(r"^.*\S.*\n#+ .*$", prose(page), re.MULTILINE)


def test_the_site_builds_and_each_link_leads_somewhere(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "ten minutes" in (tmp_path / "build" / "site" / "tutorial.html").read_text()


def test_every_page_stands_in_the_navigation_once() -> None:
    pages = re.findall(r": ([\w/-]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE)
    found = {str(page.relative_to(REPOSITORY / "docs")) for page in (REPOSITORY / "docs").glob("**/*.md")}
    assert sorted(pages) == sorted(page for page in found if not page.startswith("decisions/"))


def test_every_cause_of_explain_has_a_paragraph_in_the_page_that_it_names() -> None:
    headings = re.findall(r"^### ([a-z-]+)$", (REPOSITORY / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    glossary = (REPOSITORY / "docs" / "glossary.md").read_text().split("\n## Causes\n")[1].split("\n## ")[0]
    assert headings == re.findall(r"^\| `([a-z-]+)` \|", glossary, re.MULTILINE)  # in the same order, too
    assert Cause(kind="parked", severity="warning", text="").page == "docs/troubleshooting.md#parked"


def test_the_badges_of_the_readme_are_true() -> None:
    text, project = (REPOSITORY / "README.md").read_text(), (REPOSITORY / "pyproject.toml").read_text()
    assert re.findall(r"badge/python-([\d.]+)", text) == re.findall(r'requires-python = ">=([\d.]+)"', project)
    assert re.findall(r"badge/celery-([\d.]+)", text) == re.findall(r'"celery\[redis\]>=([\d.]+)"', project)
    assert "badge/license-BSD--3--Clause" in text and 'license = "BSD-3-Clause"' in project
    assert f"postgresql-{OLDEST_POSTGRES}%2B" in text

"""The glossary names what is there, and nothing else: columns, settings, states, causes, commands and the rest."""

from __future__ import annotations

import re

from bridge.command import bridge
from bridge.operate.contradictions import KINDS
from bridge.operate.doctor import CHECKS
from bridge.settings.bridge import SETTINGS
from tests.conftest import Connect
from tests.support.stage import REPOSITORY

GLOSSARY = (REPOSITORY / "docs" / "glossary.md").read_text()


def section(title: str) -> set[str]:
    """Read the words that the table under a heading explains."""
    [text] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GLOSSARY, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| (?!---)(.+?) \|", text, re.MULTILINE)[1:]
    assert len(rows) == len(set(rows)), f"{title} explains a word twice"
    return {row.replace("`", "") for row in rows}


def test_every_column_of_every_table_is_explained(connect: Connect) -> None:
    found = connect().execute(
        "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'fq'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p') AND NOT a.attisdropped"
    )
    assert {name for (name,) in found} == section("Tables and their columns")


def test_every_state_is_explained(connect: Connect) -> None:
    found = connect().execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname IN ('clients_state', 'deliveries_state')"
    )
    states = {"client: reader"}  # a word of `status` and `explain`, which the table does not know
    for name, rule in found:
        kind = {"clients_state": "client", "deliveries_state": "delivery"}[name]
        states |= {f"{kind}: {state}" for state in re.findall(r"'(\w+)'::text", rule)}
    assert states == section("States")


def test_every_setting_is_explained() -> None:
    assert {f"bridge_{name}" for name in SETTINGS} == section("Settings")


def test_every_cause_is_explained() -> None:
    sources = (REPOSITORY / "bridge" / "operate" / "explain").glob("*.py")
    kinds = {kind for source in sources for kind in re.findall(r'\bkind="([a-z-]+)"', source.read_text())}
    assert {*kinds, "draining", "paused", "halted"} == section("Causes")


def test_every_check_is_explained_and_has_a_paragraph() -> None:
    assert [check.name for check in CHECKS] == re.findall(
        r"^### (.+)$", (REPOSITORY / "docs" / "doctor.md").read_text(), re.MULTILINE
    )
    assert {check.name for check in CHECKS} == section("Checks")


def test_every_contradiction_is_explained() -> None:
    assert set(KINDS) == section("Contradictions")


def test_every_command_is_explained() -> None:
    assert set(bridge.commands) == section("Commands")

"""Write the pages below `docs/reference/` from the code: settings, commands, tables, metrics, signals, API.

A test compares the pages with what this makes. `BRIDGE_TEST_REFERENCE=1 make test ARGS="-k reference"` writes them
anew.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import psycopg

import bridge
from bridge import signals
from bridge.command import bridge as command_line
from bridge.metrics.definitions import METRICS
from bridge.settings.bridge import SETTINGS as OF_BRIDGE
from bridge.settings.client import SETTINGS as OF_CLIENT
from bridge.settings.setting import Setting
from tests.support.stage import REPOSITORY

PAGES = REPOSITORY / "docs" / "reference"
MADE = "<!-- Made from the code by tests/support/reference.py: change the code instead. -->\n"
WORDS = {"choice": "text", "patterns": "list", "routes": "list", "headers": "list"}  # for kinds of settings
COLUMNS = """
SELECT c.relname, a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), a.atttypmod), a.attnotnull
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relnamespace = 'fq'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p')
       AND NOT a.attisdropped AND NOT c.relispartition
 ORDER BY c.relname, a.attnum
"""


def pages(eyes: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the text of every page by the name of its file."""
    made = {
        "settings.md": _settings(),
        "commands.md": _commands(),
        "tables.md": _tables(eyes),
        "metrics.md": _metrics(),
        "signals.md": _signals(),
        "api.md": _api(),
    }
    return {name: "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def _head(title: str, *said: str) -> list[str]:
    return [MADE, f"# {title}", "", *said, ""]


def _table(*heads: str, rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table; a bar in a cell would end it."""
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in row) + " |")
    return [*lines, ""]


def _setting_rows(settings: Mapping[str, Setting], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, setting in settings.items():
        default = "" if setting.default is None else setting.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        shown = shown.lower() if isinstance(default, bool) else shown
        kind = WORDS.get(setting.kind, setting.kind)
        about = re.sub(r"\]\(#([\w-]+)\)", r"](../running.md#\1)", setting.help)
        yield f"`{prefix}{name}`", kind, f"`{shown}`" if shown else "none", about


def _settings() -> list[str]:
    return [
        *_head(
            "Settings",
            "Of the bridge: keys of Celery's configuration, or `BRIDGE_…` in the environment, which wins.",
            "[Running it](../running.md#settings) says more.",
        ),
        *_table("setting", "type", "default", "meaning", rows=_setting_rows(OF_BRIDGE, "bridge_")),
        "## Of a client",
        "",
        "Arguments of `@bridge.client`, options of `eventbridge register`, columns of `fq.clients`.",
        "",
        *_table("setting", "type", "default", "meaning", rows=_setting_rows(OF_CLIENT)),
    ]


def _commands() -> list[str]:
    lines = _head("Commands", "`eventbridge COMMAND --help` says the same. `python -m bridge` is the same command.")
    for name, command in sorted(command_line.commands.items()):
        context = click.Context(command, info_name=f"eventbridge {name}", terminal_width=100, max_content_width=100)
        told = command.get_help(context)
        lines += [f"## {name}", "", "```text", *(line.rstrip() for line in told.splitlines()), "```", ""]
    return lines


def _meanings() -> dict[str, str]:
    text = (REPOSITORY / "docs" / "glossary.md").read_text()
    [section] = re.findall(r"^## Tables and their columns\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return {
        name.replace("`", ""): meaning for name, meaning in re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    }


def _tables(eyes: psycopg.Connection[Any]) -> list[str]:
    lines = _head(
        "Tables",
        "All are in the schema `fq`. Programs of yours may read them, append to `fq.events`, and register clients in",
        "`fq.clients`. All other writes belong to the bridge.",
    )
    meanings = _meanings()
    tables: dict[str, list[tuple[str, str, str]]] = {}
    for table, column, kind, needed in eyes.execute(COLUMNS):
        meaning = re.sub(r"\]\((?!https?:|#)", "](../", meanings[f"{table}.{column}"])
        meaning = meaning.replace("](#", "](../glossary.md#")
        tables.setdefault(table, []).append((f"`{column}`", f"{kind}{'' if needed else ', or null'}", meaning))
    for table, rows in tables.items():
        lines += [f"## fq.{table}", "", *_table("column", "type", "meaning", rows=rows)]
    return lines


def _metrics() -> list[str]:
    return [
        *_head("Metrics", "What `eventbridge exporter` and a bridge worker tell: see [Metrics](../metrics.md)."),
        *_table(
            "metric",
            "kind",
            "labels",
            "meaning",
            rows=((f"`{it.name}`", it.kind, " ".join(f"`{name}`" for name in it.labels), it.help) for it in METRICS),
        ),
    ]


def _signals() -> list[str]:
    text = inspect.getdoc(signals) or ""
    text = text.replace("::\n\n    from bridge", "```python\nfrom bridge").replace(
        "        ...\n", "        ...\n```\n"
    )
    inside, lines = False, []
    for line in text.splitlines():
        inside = line.startswith("```python") or (inside and line != "```")
        lines.append(line.removeprefix("    ") if inside else line)
    return [
        *_head("Signals", "`bridge.signals`, in its own words; [What you see](../observing.md#signals) says more."),
        *lines,
    ]


def _api() -> list[str]:
    lines = _head(
        "The Python API",
        "All public names of `bridge`, as their docstrings have them. `bridge.signals`, `bridge.testing` and",
        "`bridge.contrib.django` have pages of their own.",
    )
    for name in bridge.__all__:
        thing = getattr(bridge, name)
        lines += [f"## {name}", "", *_described(name, thing)]
        if name == "Operator":
            for verb, method in sorted(inspect.getmembers(thing, inspect.isfunction)):
                if not verb.startswith("_"):
                    lines += [f"### Operator.{verb}", "", *_described(verb, method)]
    return lines


def _described(name: str, thing: Any) -> list[str]:
    told = inspect.getdoc(thing) or ""
    lines = []
    if inspect.isfunction(thing):
        try:
            signature = f"{name}{inspect.signature(thing)}"
        except (TypeError, ValueError):
            signature = f"{name}(…)"
        lines += [
            "```text",
            *textwrap.wrap(signature, 100, subsequent_indent="    "),
            "",
            *told.splitlines(),
            "```",
            "",
        ]
    else:
        lines += ["```text", *told.splitlines(), "```", ""]
    return lines

"""A run as people read it: one table for all figures, and what must be known about how they came about."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.result import Target


def show(console: Console, report: dict[str, Any]) -> None:
    """Print a run."""
    host, settings = report["machine"], report["postgres_settings"]
    console.print(Text("Celery Event Bridge, benchmarks", style="bold"))
    console.print(
        f"{host['processor']}, {host['cores']} cores, {host['memory_gib']} GiB, load before "
        f"{host['load_average_before'][0]}; sizes: {report['size']}; {report.get('seconds', 0):,.0f} s"
    )
    console.print(", ".join(f"{name} {version}" for name, version in report["versions"].items()), style="dim")
    told = ", ".join(f"{name} {settings[name]}" for name in ("synchronous_commit", "fsync", "full_page_writes"))
    console.print(f"Postgres runs with {told}: a throw-away server, for all contenders alike", style="dim")
    table = Table(show_edge=False, pad_edge=False)
    for name in ("figure", "compared with"):
        table.add_column(name, overflow="fold")
    for nth, name in enumerate(("ours", "theirs", "ratio", "target")):
        table.add_column(name, justify="right", no_wrap=nth < 3)
    for figure in report["figures"]:
        table.add_section()
        for row in figure["rows"]:
            table.add_row(*_cells(row))
    console.print(table)
    for figure in report["figures"]:
        for note in figure["notes"]:
            console.print(Text(f"{figure['name']}: {note}", style="dim"))
    for name, why in report["failed"].items():
        console.print(Text(f"{name} has failed: {why.strip()}", style="red"))


def _cells(row: dict[str, Any]) -> list[Text]:
    style = {True: "green", False: "red", None: ""}[row["met"]]
    targets = [Target(**target).text(row["unit"]) for target in row["targets"]]
    return [
        Text(row["name"]),
        Text(row["beside"]),
        Text(_number(row["ours"], row["unit"])),
        Text("" if row["other"] is None else _number(row["other"], row["unit"])),
        Text(
            "" if row["ratio"] is None else f"{row['ratio']:,.3g}x" if row["ratio"] < 100 else f"{row['ratio']:,.0f}x",
            style,
        ),
        Text(", ".join(targets), style),
    ]


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}"

"""Print a run: one table for all figures, and the notes that a reader needs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.result import Target


def show(console: Console, report: dict[str, Any]) -> None:
    """Print all figures of a run, its notes, and the figures that failed."""
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
            style = {True: "green", False: "red", None: ""}[row["met"]]
            *plain, ratio, target = cells(row)
            table.add_row(*map(Text, plain), Text(ratio, style), Text(target, style))
    console.print(table)
    for figure in report["figures"]:
        for note in figure["notes"]:
            console.print(Text(f"{figure['name']}: {note}", style="dim"))
    for name, why in report["failed"].items():
        console.print(Text(f"{name} has failed: {why.strip()}", style="red"))


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row as text: its name, what it is compared with, our value, the other one, their ratio, the targets."""
    return [
        row["name"],
        row["beside"],
        number(row["ours"], row["unit"]),
        "" if row["other"] is None else number(row["other"], row["unit"]),
        "" if row["ratio"] is None else _ratio(row["ratio"]),
        ", ".join(Target(**target).text(row["unit"]) for target in row["targets"]),
    ]


def _ratio(value: float) -> str:
    return f"{value:,.3g}x" if value < 100 else f"{value:,.0f}x"


def number(value: float, unit: str) -> str:
    """Return a value with its unit, such as `1,879/s` or `3.52 ms`."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}"

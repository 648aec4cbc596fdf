"""The rows of a run as one Markdown table, such as docs/benchmarks/README.md shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.report import cells

HEAD = """| figure | compared with | bridge | other | ratio | target |
| --- | --- | ---: | ---: | ---: | ---: |"""


def markdown(report: dict[str, Any]) -> str:
    """Return a line about the machine and one row for each row of each figure; a missed target ends with ✗."""
    host, date = report["machine"], report["started_at"][:10]
    about = f"{date}, sizes: {report['size']}, {host['cores']} cores, {host['processor']}"
    return "\n".join([about, "", HEAD, *_lines(report)]) + "\n"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    for figure in report["figures"]:
        for row in figure["rows"]:
            missed = " ✗" if row["met"] is False else ""
            yield "| " + " | ".join(cells(row)) + missed + " |"

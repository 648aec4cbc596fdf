"""`python -m benchmarks.compare OTHER FIGURES… --rounds 3`: measure this tree and another one in turns.

Each figure runs once a round in each tree, with that tree's own code, `.venv` and `python -m benchmarks`. Every second
round runs backwards. Whatever else the machine does meanwhile therefore hits both trees alike.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES
from benchmarks.report import number
from benchmarks.sizes import BY_NAME
from bridge.demo.process import SETTINGS, Process, inherited, tail
from bridge.errors import BridgeError

THIS_TREE = Path(__file__).parent.parent
RUN_SECONDS = 3600.0  # longest run of one figure

# By figure and name of a row, what each round has measured.
Rows: TypeAlias = dict[tuple[str, str], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row of a figure in both trees.

    Attributes:
        figure: Name of the figure.
        row: Name of the row.
        unit: Of both values; more is better where it is a rate, such as `/s`.
        new: This tree's value of each round.
        old: The other tree's value of each round; none if it has no such row.
    """

    figure: str
    row: str
    unit: str
    new: Sequence[float]
    old: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """New to old, round by round; in a round where one tree did not measure the row, there is none."""
        return [new / old for new, old in zip(self.new, self.old, strict=False) if old]


class Trees:
    """Measures figures in two trees in turns.

    Args:
        new: This tree.
        old: The other tree.
        directory: Where the runs write their numbers.
        size: Size of each run, as `python -m benchmarks --size` takes it.
    """

    def __init__(self, new: Path, old: Path, directory: Path, *, size: str = "quick") -> None:
        self._trees = {"new": new, "old": old}
        self._directory, self._size = directory, size
        self._units: dict[tuple[str, str], str] = {}
        self._found: Mapping[str, Rows] = {"new": {}, "old": {}}

    def measure(self, figure: str, *, rounds: int) -> None:
        """Run a figure so many times in each tree.

        Raises:
            BridgeError: a run failed; the message ends with what it printed.
        """
        for nth in range(rounds):
            for name in ("new", "old") if nth % 2 == 0 else ("old", "new"):
                for row in self._run(name, figure, nth):
                    key = (figure, row["name"])
                    self._units[key] = row["unit"]
                    self._found[name].setdefault(key, []).append(row["ours"])

    def compared(self) -> Iterator[Comparison]:
        """Yield every row that a tree has measured, in the order in which it was first seen."""
        for key, unit in self._units.items():
            new, old = (self._found[name].get(key, []) for name in ("new", "old"))
            yield Comparison(figure=key[0], row=key[1], unit=unit, new=new, old=old)

    def _run(self, name: str, figure: str, nth: int) -> list[dict[str, Any]]:
        tree, path = self._trees[name], self._directory / f"{name}-{figure}-{nth}.json"
        command = [
            str(tree / ".venv/bin/python"),
            "-m",
            "benchmarks",
            figure,
            "--size",
            self._size,
            "--json",
            str(path),
        ]
        # With our own PYTHONPATH, the other tree would run this tree's code.
        environment = inherited((*SETTINGS, "PYTHONPATH"))
        run = Process(
            f"{figure} in {tree}",
            command,
            log_path=path.with_suffix(".log"),
            directory=tree,
            environment=environment,
            orphaned=signal.SIGTERM,  # then it stops the servers that it has started
        )
        try:
            if run.wait(RUN_SECONDS) is None:
                raise BridgeError(f"the {run.name} still runs after {RUN_SECONDS:.0f} s{tail(run.log_path)}")
            run.check(may_end=True)
        finally:
            run.stop()
        return [row for found in json.loads(path.read_text())["figures"] for row in found["rows"]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("figures", nargs=-1, required=True, type=click.Choice(list(FIGURES)), metavar="FIGURES...")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each figure.")
@click.option(
    "--size", type=click.Choice(sorted(BY_NAME)), default="quick", show_default=True, help="Size of each run."
)
def main(other: Path, figures: tuple[str, ...], rounds: int, size: str) -> None:
    """Measure FIGURES in this tree and in OTHER, a checkout with a .venv of its own, and print new to old."""
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="bridge-compare-") as directory:
        trees = Trees(THIS_TREE, other.resolve(), Path(directory), size=size)
        for figure in figures:
            progress.print(f"{figure} …", style="dim")
            trees.measure(figure, rounds=rounds)
        show(Console(), list(trees.compared()))


def show(console: Console, compared: Sequence[Comparison]) -> None:
    """Print the medians of both trees, and of each row the median and the range of the rounds' ratios."""
    table = Table(show_edge=False, pad_edge=False)
    for name in ("figure", "row"):
        table.add_column(name, overflow="fold")
    for name in ("new", "old", "new/old", "range"):
        table.add_column(name, justify="right", no_wrap=True)
    for it in compared:
        ratios = it.ratios
        table.add_row(
            it.figure,
            it.row,
            _value(it.new, it.unit),
            _value(it.old, it.unit),
            f"{median(ratios):.3f}" if ratios else "",
            f"{min(ratios):.3f} to {max(ratios):.3f}" if ratios else "",
        )
    console.print(table)
    console.print("more is better where the unit is a rate (/s), less where it is a time or a size", style="dim")


def _value(values: Sequence[float], unit: str) -> str:
    return number(median(values), unit) if values else "not measured"


if __name__ == "__main__":
    try:
        main(prog_name="python -m benchmarks.compare")
    except BridgeError as error:
        raise SystemExit(f"the comparison has failed: {error}") from error

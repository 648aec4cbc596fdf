"""`python -m benchmarks.alternate OTHER --rounds 8`: this tree and another one in turns, in two processes that stay up.

`benchmarks.compare` starts everything anew for each measurement, which on a busy machine moves by a fifth. Here each
tree has one process, one Postgres and one Redis for the whole run, and the trees take turns of a second or a few.
Besides seconds it compares processor time, of the bridge and the fleet, and of Postgres' sessions, which others disturb
less. The last figure compares the quicker quarters of both trees' turns: what disturbs a turn only ever makes it
longer. OTHER may be as old as 23d8f42.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import click

from benchmarks.bench import rabbitmq
from benchmarks.half.loops import KINDS
from benchmarks.half.serve import LOOKS
from bridge.demo.servers import run_postgres, run_redis

LOOK_SECONDS = 2.0  # how often: as bridge.marks.witness has it, which an older tree lacks
SHORT = (
    "pump",
    "pump, ordered by key",
    "settle",
    "settle, ordered by key",
    "insert",
    "insert, many rows",
    "publish",
    "publish, many",
)
FIGURES = (*SHORT, *(f"end to end, {kind}" for kind in KINDS), "latency")
THIS_TREE = Path(__file__).resolve().parent.parent


def ask(side: subprocess.Popen[str], figure: str) -> list[float]:
    """Let one half measure a figure."""
    assert side.stdin is not None and side.stdout is not None
    side.stdin.write(f"{figure}\n")
    side.stdin.flush()
    found = [float(value) for value in side.stdout.readline().split()]
    if not found:
        raise click.ClickException(f"{figure} has failed: see above")
    return found


@contextmanager
def halves(*given: tuple[Path, str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run a half for each of these trees and brokers, each on servers of its own, which this tree starts."""
    sides: list[Any] = []
    with ExitStack() as stack:
        for tree, broker in given:
            place = tempfile.TemporaryDirectory(prefix="bridge-alternate-", ignore_cleanup_errors=True)
            directory = Path(stack.enter_context(place))
            urls = [stack.enter_context(run_postgres(directory)), stack.enter_context(run_redis(directory))]
            if broker == "rabbitmq":
                urls.append(stack.enter_context(rabbitmq(directory))())
            code = [str(tree / ".venv/bin/python"), "-c", SERVE, str(tree), str(Path(__file__).parent)]
            stack.callback(_end, sides, len(sides))
            sides.append(
                subprocess.Popen(
                    [*code, str(directory), *urls], cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        for side in sides:
            if side.stdout.readline().strip() != "ready":
                raise click.ClickException("one of the trees does not start: see above")
        yield sides


def _end(sides: Sequence[Any], nth: int) -> None:
    """End a half, before its servers do."""
    if nth < len(sides):
        sides[nth].stdin.close()
        sides[nth].wait(60)


@click.command(help=__doc__)
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("figures", nargs=-1, type=click.Choice((*FIGURES, "all")), metavar="[FIGURES]...")
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True, help="Turns of each figure.")
@click.option("--new", type=click.Path(exists=True, file_okay=False, path_type=Path), default=THIS_TREE, metavar="TREE",
              help="Compare this tree with OTHER, and not the one that measures.")  # fmt: skip
def main(other: Path, figures: tuple[str, ...], rounds: int, new: Path) -> None:
    """Let both halves take turns, and print new to old."""
    with halves((new.resolve(), "redis"), (other.resolve(), "redis")) as sides:
        for figure in FIGURES if "all" in figures else figures or SHORT:
            click.echo(f"{figure}: new/old {told(*compare(sides, figure, rounds))}")
        looks = [ask(sides[0], "marks") for _ in range(rounds)]
        seconds, ours, theirs, _ = (median(column) / LOOKS for column in zip(*looks, strict=True))
        click.echo(
            f"marks: a look every {LOOK_SECONDS:g} s takes {seconds * 1000:.1f} ms, {ours * 1000:.1f} ms of our CPU "
            f"and {theirs * 1000:.1f} ms of Postgres': {seconds / LOOK_SECONDS:.2%} of a pump's time"
        )


def compare(
    sides: Sequence[subprocess.Popen[str]], figure: str, rounds: int
) -> tuple[list[list[float]], list[tuple[float, float]]]:
    """Return the ratios of each round, of time, our CPU, Postgres' CPU and both together; and both times of each."""
    ratios, times = [], []
    for turn in range(rounds + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        found = {which: ask(sides[which], figure) for which in order}
        if turn:  # the first one is for warming up
            new, old = ([*it[:3], it[1] + it[2]] for it in (found[0], found[1]))
            ratios.append([a / max(b, 1e-9) for a, b in zip(new, old, strict=True)])
            times.append((new[0], old[0]))
    return ratios, times


def told(ratios: Sequence[Sequence[float]], times: Sequence[tuple[float, float]]) -> str:
    """Say the medians, where the middle half of the rounds lies, and the ratio of the quicker quarters."""
    said = []
    for column, what in zip(zip(*ratios, strict=True), ("time", "our CPU", "Postgres' CPU", "all CPU"), strict=True):
        low, _, high = quantiles(column, n=4) if len(column) > 1 else (column[0],) * 3
        said.append(f"{median(column):.3f} ({low:.2f} to {high:.2f}) in {what}")
    new, old = (fmean(sorted(column)[: -(-len(column) // 4)]) for column in zip(*times, strict=True))
    return f"{', '.join(said)}; {new / old:.3f} in time of the quicker quarters"


# The other tree may be older than this one: it runs this tree's half with its own packages.
SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
sys.path.append(sys.argv[2])
from half.serve import serve
serve(*sys.argv[3:])
"""

if __name__ == "__main__":
    main()

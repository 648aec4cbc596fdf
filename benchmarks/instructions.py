"""`python -m benchmarks.instructions OTHER`: instructions of Postgres' sessions, of this tree and of another one.

Where a machine is shared, seconds move by a tenth from one minute to the next. Instructions do not: valgrind counts
those of Postgres outside the kernel, and the same work takes the same number each time. It has to be installed, and
runs about fifty times slower. What a figure prepares and cleans up counts too, so few events make the preparation a
larger part.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import click

from benchmarks.alternate import SHORT, THIS_TREE, ask
from bridge.demo.servers import run_postgres, run_redis

FEW, MANY = 4, 7  # turns of two runs: what the first turns alone have to do is in both, and falls out
# Nothing of its own accord, and what a session does is done in its own process.
QUIET = {"autovacuum": "off", "io_method": "sync", "jit": "off"}


@click.command(help=__doc__)
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("figures", nargs=-1, type=click.Choice(SHORT), metavar="[FIGURES]...")
@click.option("--events", type=click.IntRange(1000), default=8000, show_default=True, help="Of a turn.")
def main(other: Path, figures: tuple[str, ...], events: int) -> None:
    """Count for both trees, and print new to old."""
    for figure in figures or ("pump", "pump, ordered by key", "insert", "insert, many rows", "publish"):
        new, old = (counted(tree.resolve(), figure, events) for tree in (THIS_TREE, other))
        click.echo(f"{figure}: new/old {new / old:.3f}, {new / 1e6:.1f} to {old / 1e6:.1f} million instructions a turn")


def counted(tree: Path, figure: str, events: int) -> float:
    """Return the instructions of Postgres for one turn of a figure."""
    few, many = (_counted(tree, figure, events, turns) for turns in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _counted(tree: Path, figure: str, events: int, turns: int) -> int:
    with tempfile.TemporaryDirectory(prefix="bridge-instructions-", ignore_cleanup_errors=True) as name:
        place, counts = Path(name), Path(name) / "counts"
        place.chmod(0o755)
        counts.mkdir()
        counts.chmod(0o777)  # Postgres runs as another user
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}/%p"]
        with run_postgres(place, settings=QUIET, under=under) as postgres, run_redis(place) as redis:
            code = [str(tree / ".venv/bin/python"), "-c", SERVE, str(tree), str(Path(__file__).parent), str(events)]
            side = subprocess.Popen(
                [*code, name, postgres, redis], cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert side.stdin is not None and side.stdout is not None
            if side.stdout.readline().strip() != "ready":
                raise click.ClickException("a tree does not start: see above")
            for _ in range(turns):
                ask(side, figure)
            side.stdin.close()
            side.wait(60)
        totals = [re.findall(r"^totals: (\d+)", file.read_text(), re.MULTILINE) for file in counts.iterdir()]
    return sum(int(total) for found in totals for total in found)


# As in `benchmarks.alternate`, with other numbers of events.
SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
sys.path.append(sys.argv[2])
from half import serve
serve.EVENTS, serve.SINGLE, serve.PUBLISHED = int(sys.argv[3]), 500, 500
serve.serve(*sys.argv[4:])
"""

if __name__ == "__main__":
    main()

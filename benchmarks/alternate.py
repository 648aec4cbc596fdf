"""`python -m benchmarks.alternate OTHER --rounds 8`: this tree and another one in turns, in two processes that stay up.

`benchmarks.compare` starts everything anew for each measurement, which on a busy machine moves by a fifth. Here each
tree has one process, one Postgres and one Redis for the whole run, and the trees take turns a second long. Besides
seconds it compares processor time, of the process and of its Postgres sessions, which other programs disturb less.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil

from benchmarks.bench import Bench, Servers
from benchmarks.callbacks import hand_over, prefill
from bridge.app import Bridge
from bridge.demo.servers import run_postgres, run_redis

collect: Any = import_module("benchmarks.figures.settle").collect  # wherever the tree at hand keeps it
EVENTS = 20_000
LOOKS, LOOK_SECONDS = 20, 2.0  # how often: as bridge.marks.witness has it, which an older tree lacks
FIGURES = ("pump", "pump, ordered by key", "settle", "settle, ordered by key", "insert")
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
INSERT = "INSERT INTO fq.events (topic, key, payload) VALUES ('order.created', 'key', '{\"number\": 1}')"
INSERT_MANY = """
INSERT INTO fq.events (topic, key, payload)
SELECT 'order.created', 'key ' || n % 1000, jsonb_build_object('number', n) FROM generate_series(1, 20000) n
"""


class Side:
    """One tree's half: measures what it is told on standard input, and prints seconds, ours, and Postgres'."""

    def __init__(self, bench: Bench, bridge: Bridge) -> None:
        self._bench, self._bridge = bench, bridge

    def run(self) -> None:
        """Measure until standard input ends."""
        print("ready", flush=True)
        for line in sys.stdin:
            name, _, ordered = line.strip().partition(", ")
            print(*getattr(self, f"_{name}")("key" if ordered else "none"), flush=True)

    def _pump(self, ordering: str) -> tuple[float, float, float]:
        client = self._bench.client(start=0, window=EVENTS, ordering=ordering)
        found = self._timed(lambda: hand_over(self._bench, self._bridge, client, EVENTS))
        self._forget(client)
        return found

    def _settle(self, ordering: str) -> tuple[float, float, float]:
        client, stopping = self._bench.client(start=0, window=EVENTS, ordering=ordering), threading.Event()
        hand_over(self._bench, self._bridge, client, EVENTS)
        assert prefill(self._bench, self._bridge, client) == EVENTS
        queue = self._bridge.settings.queue
        work = partial(collect, self._bridge, queue=queue, others="others", stopping=stopping)

        def settle() -> None:
            thread = threading.Thread(target=work)
            thread.start()
            while not self._bench.has_reached(client, EVENTS):
                time.sleep(0.02)
            stopping.set()
            thread.join()

        found = self._timed(settle)
        self._forget(client)
        return found

    def _insert(self, _: str) -> tuple[float, float, float]:
        def insert() -> None:
            eyes = self._bench.eyes
            eyes.execute("BEGIN")
            for _ in range(EVENTS // 4):
                eyes.execute(INSERT)
            eyes.execute(INSERT_MANY)
            eyes.execute("ROLLBACK")

        return self._timed(insert)

    def _forget(self, client: str) -> None:
        """Empty the log's clients and the broker, and let the bridge see it before the next turn is timed."""
        self._bench.forget(client)
        self._look()

    def _look(self) -> None:
        """Compare the marks now. It is due every two seconds, however much is done in them; turns are shorter."""
        with suppress(ImportError):  # an older tree keeps no marks
            from bridge.marks.witness import witness_of

            witness_of(self._bridge).look_at_once()
            witness_of(self._bridge).check(trust_seconds=0)

    def _marks(self, _: str) -> tuple[float, float, float]:
        def looks() -> None:
            for _ in range(LOOKS):
                self._look()

        return self._timed(looks)

    def _timed(self, work: Callable[[], object]) -> tuple[float, float, float]:
        self._look()
        began = time.perf_counter(), _cpu([psutil.Process().pid]), self._postgres()
        work()
        return (
            time.perf_counter() - began[0],
            _cpu([psutil.Process().pid]) - began[1],
            self._postgres() - began[2],
        )

    def _postgres(self) -> float:
        return _cpu([pid for (pid,) in self._bench.eyes.execute(SESSIONS).fetchall()])


def _cpu(pids: list[int]) -> float:
    seconds = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            seconds += times.user + times.system
    return seconds


def serve() -> None:
    """Be one tree's half."""
    with tempfile.TemporaryDirectory(prefix="bridge-alternate-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with (
            run_postgres(directory) as postgres,
            run_redis(directory) as redis,
            Servers(postgres, redis, directory).bench_with_log(EVENTS) as bench,
        ):
            Side(bench, bench.bridge(bridge_pass_limit=5000)).run()


def ask(side: subprocess.Popen[str], figure: str) -> list[float]:
    """Let one half measure a figure."""
    assert side.stdin is not None and side.stdout is not None
    side.stdin.write(f"{figure}\n")
    side.stdin.flush()
    return [float(value) for value in side.stdout.readline().split()]


@click.command(help=__doc__)
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("figures", nargs=-1, type=click.Choice(FIGURES))
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True, help="Turns of each figure.")
def main(other: Path, figures: tuple[str, ...], rounds: int) -> None:
    """Let both halves take turns, and print new to old."""
    sides: list[Any] = []
    script = str(Path(__file__).resolve())
    for tree in (Path(__file__).resolve().parent.parent, other.resolve()):
        command = [str(tree / ".venv/bin/python"), "-c", SERVE, str(tree), script]
        sides.append(subprocess.Popen(command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        for side in sides:
            if side.stdout.readline().strip() != "ready":
                raise click.ClickException("one of the trees does not start: see above")
        for figure in figures or FIGURES:
            ratios = []
            for turn in range(rounds + 1):
                order = (0, 1) if turn % 2 else (1, 0)
                found = {which: ask(sides[which], figure) for which in order}
                if turn:  # the first one is for warming up
                    ratios.append([new / max(old, 1e-9) for new, old in zip(found[0], found[1], strict=True)])
            seconds, ours, theirs = (median(column) for column in zip(*ratios, strict=True))
            click.echo(f"{figure}: new/old {seconds:.3f} in time, {ours:.3f} of our CPU, {theirs:.3f} of Postgres' CPU")
        looks = [ask(sides[0], "marks") for _ in range(rounds)]
        seconds, ours, theirs = (median(column) / LOOKS for column in zip(*looks, strict=True))
        click.echo(
            f"marks: a look every {LOOK_SECONDS:g} s takes {seconds * 1000:.1f} ms, {ours * 1000:.1f} ms of our CPU "
            f"and {theirs * 1000:.1f} ms of Postgres': {seconds / LOOK_SECONDS:.2%} of a pump's time"
        )
    finally:
        for side in sides:
            side.stdin.close()
            side.wait(60)


# The other tree may be older than this file: it runs this file's half with its own packages.
SERVE = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2], run_name="half")["serve"]()
"""

if __name__ == "__main__":
    main()

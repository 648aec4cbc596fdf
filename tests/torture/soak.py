"""`python -m tests.torture.soak --minutes 30`: run the loop for long, with poison, and see that nothing grows.

Nothing is killed. Events come at a steady rate, and a share of them can be read by nobody. Every few seconds it notes
how many events were finished, how much memory each process of the bridge has, and how large the tables are. In the end
it compares the last quarter of the run with the second one; the first quarter is for warming up.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.torture.plan import Plan
from tests.torture.publishers import Publishers
from tests.torture.run import Interrupted, Torture, torture

EVERY_SECONDS = 5.0
GROWTH = 1.25  # of the last quarter against the second one; a leak of 1 % a minute gives more in half an hour
TABLES = ("clients", "deliveries", "lanes", "horizon", "turns")  # those whose size must not follow the log's
SIZES = "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c WHERE c.relnamespace = 'fq'::regnamespace"
FINISHED = 'SELECT sum(c.succeeded), sum((SELECT max("offset") FROM fq.events) - c."offset") FROM fq.clients c'

Sample = Mapping[str, float]


def main() -> int:
    """Run, show, and tell by the exit code whether something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--per-second", type=float, default=20, help="events of all publishers (default: 20)")
    parser.add_argument("--poison", type=float, default=0.01, help="share of events nobody can read (default: 0.01)")
    parser.add_argument("--json", type=Path, help="write the samples to this file")
    parser.add_argument("--plot", type=Path, help="draw the samples into this SVG file")
    asked = parser.parse_args()
    plan = Plan(seconds=asked.minutes * 60, seed=1, per_second=asked.per_second, poison=asked.poison)
    with (
        tempfile.TemporaryDirectory(prefix="bridge-soak-", ignore_cleanup_errors=True) as directory,
        torture(plan, Path(directory), print) as stage,
    ):
        samples = list(soak(stage))
    if asked.json:
        asked.json.write_text(json.dumps(samples))
    if asked.plot:
        draw(samples, asked.plot)
    grown = growth(samples)
    for name, ratio in sorted(grown.items()):
        print(f"{name}: {ratio:.2f} of the second quarter{'  GROWS' if ratio > GROWTH else ''}")
    return 1 if any(ratio > GROWTH for ratio in grown.values()) else 0


def soak(stage: Torture) -> Iterator[Sample]:
    """Publish for as long as the plan says, and yield a sample every few seconds."""
    plan = stage.plan
    publishers = Publishers(
        stage.database_url,
        seed=plan.seed,
        number=4,
        per_second=plan.per_second,
        calm=False,
        poison=plan.poison,
    )
    began = time.monotonic()
    try:
        while (seconds := time.monotonic() - began) < plan.seconds:
            yield {"seconds": seconds, **look(stage)}
            time.sleep(EVERY_SECONDS)
    finally:
        publishers.stop()
    for error in publishers.errors:
        raise error
    with suppress(Interrupted):
        stage.wait_until(stage.is_done, plan.rest_seconds)
    print("at rest" if stage.is_done() else "NOT at rest: events are left")


def look(stage: Torture) -> Sample:
    """Return what has been finished, memory in MB, and sizes of tables in MB."""
    finished, behind = stage.eyes.execute(FINISHED).fetchone() or (0, 0)
    memory = 0.0
    for process in stage.bridges:
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            memory += sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True)))
    sizes = dict(stage.eyes.execute(SIZES).fetchall())
    tables = sum(sizes.get(name, 0) for name in TABLES)
    return {
        "finished": float(finished),
        "behind": float(behind),
        "memory": memory / 1e6,
        "tables": tables / 1e6,
        "log": sizes.get("events", 0) / 1e6,
    }


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return, for memory and tables, the last quarter's median over that of the second quarter."""
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[3 * quarter :]
    return {
        name: median(one[name] for one in last) / max(0.001, median(one[name] for one in second))
        for name in ("memory", "tables")
    }


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw rate, memory and tables over time."""
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "1"})
    minutes = [one["seconds"] / 60 for one in samples]
    rates = [
        (after["finished"] - before["finished"]) / (after["seconds"] - before["seconds"])
        for before, after in zip(samples, samples[12:], strict=False)
    ]
    rows = [
        ("finished a second\n(over a minute)", minutes[12:], rates),
        ("events behind", minutes, [one["behind"] for one in samples]),
        ("memory of both\nbridges, MB", minutes, [one["memory"] for one in samples]),
        ("tables without\nthe log, MB", minutes, [one["tables"] for one in samples]),
    ]
    picture, axes = pyplot.subplots(len(rows), 1, figsize=(8, 7), sharex=True)
    for axis, (label, times, values) in zip(axes, rows, strict=True):
        axis.plot(times, values, color="#2a6f97", linewidth=1)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())

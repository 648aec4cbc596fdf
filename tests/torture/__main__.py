"""`python -m tests.torture --seconds 60 --seed N`: exits with 1 and names the guarantee if one was broken."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.torture.checker import Verdict, check
from tests.torture.plan import Plan, Run
from tests.torture.run import torture


def main() -> int:
    """Parse the command line, torture, check, and show the result; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to publish and to kill (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    parser.add_argument("--per-second", type=float, default=30, help="events, all publishers together (default: 30)")
    parser.add_argument("--kill-every", type=float, default=2, help="mean seconds between two kills (default: 2)")
    parser.add_argument("--poison", type=float, default=0.03, help="share of events nobody can read (default: 0.03)")
    parser.add_argument("--rest-seconds", type=float, default=180, help="how long the end may take (default: 180)")
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], default="redis", help="which one (default: redis)")
    parser.add_argument("--restore", action="store_true", help="put a copy of the database's disk back, and resync")
    parser.add_argument("--promote", action="store_true", help="promote a replica, and one without the last events")
    parser.add_argument("--skew", action="store_true", help="let clocks be wrong by up to an hour, and be set")
    parser.add_argument("--refuse", action="store_true", help="let the broker refuse everything for a while")
    parser.add_argument("--calm", action="store_true", help="kill nothing, fail nothing: then nothing may come twice")
    parser.add_argument("--logs", type=Path, help="keep logs and the record in this directory")
    parser.add_argument("--verbose", action="store_true", help="say what is killed, and when")
    asked = parser.parse_args()
    if asked.restore and asked.promote:
        parser.error("--restore and --promote are two ways to set the database back: choose one")
    plan = Plan(
        seconds=asked.seconds,
        seed=asked.seed,
        per_second=asked.per_second,
        kill_every_seconds=asked.kill_every,
        poison=asked.poison,
        restores=asked.restore,
        promotes=asked.promote,
        skew=asked.skew,
        refuses=asked.refuse,
        broker=asked.broker,
        calm=asked.calm,
        rest_seconds=asked.rest_seconds,
    )
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with everything stopped
    with tempfile.TemporaryDirectory(prefix="bridge-torture-", ignore_cleanup_errors=True) as temporary:
        directory = asked.logs or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with torture(plan, directory, console.log if asked.verbose else lambda _: None) as stage:
                run = stage.run()
        except KeyboardInterrupt:
            console.print("interrupted: everything is stopped, nothing was checked")
            return 130
    verdict = check(run.evidence)
    show(console, plan, run, verdict)
    return 1 if verdict.violations else 0


def show(console: Console, plan: Plan, run: Run, verdict: Verdict) -> None:
    """Print what happened, and the violations."""
    kills = ", ".join(f"{number} {victim}" for victim, number in sorted(run.kills.items())) or "none"
    table = Table(title=f"torture on {plan.broker}, seed {plan.seed}: {plan.seconds:g} s, {plan.publishers} publishers")
    table.add_column("")
    for client in verdict.figures:
        table.add_column(client, justify="right")
    for name in next(iter(verdict.figures.values())):
        table.add_row(name, *(str(figures[name]) for figures in verdict.figures.values()))
    console.print(table)
    weather = ", ".join(f"{number} {kind}" for kind, number in sorted(run.weather.items())) or "none"
    console.print(f"kill -9: {sum(run.kills.values())} ({kills}); weather: {weather}")
    console.print(f"forged callbacks: {run.forged}; audits: {run.audits}; ", end="")
    console.print(f"transactions rolled back: {run.rolled_back}; at rest after {run.rest_seconds:.1f} s")
    for guarantee, what in verdict.violations:
        console.print(f"[bold red]VIOLATION[/] {guarantee}: {what}", highlight=False)
    if not verdict.violations:
        console.print("[bold green]every guarantee held[/]")


if __name__ == "__main__":
    sys.exit(main())

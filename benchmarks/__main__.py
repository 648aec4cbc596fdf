"""`python -m benchmarks [NAMES…] [--quick] [--table FILE] [--json FILE] [--plots DIR]`: run and print figures."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console

from benchmarks.bench import Servers, servers
from benchmarks.figures import FIGURES
from benchmarks.machine import machine, versions
from benchmarks.report import show
from benchmarks.result import Figure
from benchmarks.sizes import BY_NAME, Sizes
from benchmarks.table import markdown
from bridge import BridgeError
from bridge.demo.process import SETTINGS

STOPPED = 130
ON_RABBITMQ = ("pump", "end-to-end", "latency")  # the figures that do not read Redis' own lists


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every number to FILE."
)
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to FILE, as Markdown.")
@click.option("--quick", is_flag=True, help="Smaller sizes: to try, not to publish.")
@click.option("--size", type=click.Choice(sorted(BY_NAME)), help="Which sizes; full unless --quick is given.")
@click.option(
    "--broker",
    type=click.Choice(["redis", "rabbitmq"]),
    default="redis",
    show_default=True,
    help=f"What messages go through; on rabbitmq there are {', '.join(ON_RABBITMQ)}.",
)
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Draw into a directory, as SVG.")
@click.option("--replot", type=click.Path(exists=True, path_type=Path), help="Draw (and show) an earlier run's JSON.")
def main(  # noqa: PLR0917 - click gives them by name
    names: tuple[str, ...],
    json_path: Path | None,
    table: Path | None,
    quick: bool,
    size: str | None,
    broker: str,
    plots: Path | None,
    replot: Path | None,
) -> None:
    """Measure the bridge beside what it is compared with. NAMES are figures; all of them unless some are named."""
    if unknown := [name for name in names if name not in FIGURES]:
        raise click.UsageError(f"there is no figure {unknown[0]!r}: there are {', '.join(FIGURES)}")
    if broker == "rabbitmq" and (others := [name for name in names if name not in ON_RABBITMQ]):
        raise click.UsageError(f"figure {others[0]!r} needs Redis: on rabbitmq there are {', '.join(ON_RABBITMQ)}")
    if replot:
        report = json.loads(replot.read_text())
        _tell(report, table, plots)
        return
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        del os.environ[name]  # it would override what a figure sets, in this process and in its workers
    size = size or ("quick" if quick else "full")
    try:
        with _stopped_by_signals():
            names = names or (tuple(FIGURES) if broker == "redis" else ON_RABBITMQ)
            report = run(Console(stderr=True), names, BY_NAME[size], size=size, json_path=json_path, broker=broker)
    except KeyboardInterrupt:
        click.echo("stopped; nothing is left running", err=True)
        sys.exit(STOPPED)
    _tell(report, table, plots)
    sys.exit(1 if report["failed"] else 0)


def run(
    console: Console,
    names: tuple[str, ...],
    sizes: Sizes,
    *,
    size: str,
    json_path: Path | None = None,
    broker: str = "redis",
) -> dict[str, Any]:
    """Run figures on servers of their own; return the results, ready for JSON.

    A figure that fails does not end the others. After every figure the results up to then are written.
    """
    report: dict[str, Any] = {"size": size, "started_at": datetime.now(UTC).isoformat(), "machine": machine()}
    report["broker"] = broker
    report |= {"figures": [], "failed": {}}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bridge-benchmarks-", ignore_cleanup_errors=True) as place:
        directory = Path(place)
        with servers(directory, broker=broker) as started:
            report["postgres_settings"] = started.settings()
            report["versions"] = versions(postgres=started.version(), redis_url=started.redis_url)
            for name in names:
                console.print(f"{name} …", style="dim")
                _run_one(started, name, sizes, report)
                report["seconds"] = round(time.perf_counter() - began, 1)
                if json_path is not None:
                    json_path.parent.mkdir(parents=True, exist_ok=True)
                    json_path.write_text(json.dumps(report, indent=1) + "\n")
    return report


def _run_one(started: Servers, name: str, sizes: Sizes, report: dict[str, Any]) -> None:
    began = time.perf_counter()
    try:
        figure: Figure = FIGURES[name](started, sizes)
    except Exception as error:  # of any kind: the other figures are still worth having
        report["failed"][name] = "".join(traceback.format_exception(error))
        return
    figure.seconds = round(time.perf_counter() - began, 1)
    report["figures"].append(figure.as_json())


def _tell(report: dict[str, Any], table: Path | None, plots: Path | None) -> None:
    show(Console(), report)
    if table is not None:
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(markdown(report))
    _plot(report, plots)


def _plot(report: dict[str, Any], directory: Path | None) -> None:
    if directory is None:
        return
    try:
        from benchmarks.plots import plot
    except ImportError as error:
        raise click.ClickException(f"can't draw: {error} (pip install 'celery-event-bridge[bench]')") from error
    for path in plot(report, directory):
        click.echo(f"drawn: {path}", err=True)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind as Ctrl-C does, so that all that was started is stopped."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    try:
        main(prog_name="python -m benchmarks")
    except BridgeError as error:
        raise SystemExit(f"the benchmarks can't run: {error}") from error

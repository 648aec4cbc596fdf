"""Memory: the peak of the pump's process grows neither with the backlog nor with the size of events."""

from __future__ import annotations

from benchmarks import log
from benchmarks.bench import Bench, Servers
from benchmarks.draining import drain
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes

WINDOW, BATCH = 1000, 500  # the defaults
HUGE_MEGABYTES = 9


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Drain a little of a long backlog, and all of a short one."""
    short = min(5_000, sizes.drained)
    figure = Figure(name="memory", setup={"window": WINDOW, "batch": BATCH, "drained": sizes.drained})
    found: dict[int, list[float]] = {sizes.backlog: [], short: []}
    with servers.bench_with_log(sizes.log) as bench:
        for _ in range(min(3, sizes.rounds)):
            for backlog, peaks in found.items():
                start = bench.last() - backlog
                peaks.append(_peak(bench, figure, start, min(backlog, sizes.drained)))
    large: dict[int, list[float]] = {}
    for megabytes, events in ((1, sizes.large), (HUGE_MEGABYTES, max(1, sizes.large // 10))):
        with servers.bench() as bench:
            log.fill_large(bench.eyes, events, megabytes=megabytes)
            large[megabytes] = [_peak(bench, figure, 0, events) for _ in range(min(3, sizes.rounds))]
    figure.raw["peak_mib"] = {str(backlog): peaks for backlog, peaks in found.items()}
    figure.raw["peak_mib"] |= {f"{megabytes} MB": peaks for megabytes, peaks in large.items()}
    row = Row.of_rates(
        f"peak memory of the pump, {sizes.backlog:,} events of backlog",
        found[sizes.backlog],
        found[short],
        f"{short:,} events of backlog",
        unit="MiB",
        targets=(Target(most=1.1),),
    )
    figure.rows.append(row)
    for megabytes, peaks in large.items():
        events = sizes.large if megabytes == 1 else max(1, sizes.large // 10)
        name = f"peak memory of the pump, {events:,} events of {megabytes} MB"
        beside = f"{short:,} events of 200 bytes"
        targets = (Target(most=1.5),)
        figure.rows.append(Row.of_rates(name, peaks, found[short], beside, unit="MiB", targets=targets))
    if sizes.drained < sizes.backlog:
        figure.notes.append(
            f"of the {sizes.backlog:,} events that lie before the client, {sizes.drained:,} are drained"
        )
    return figure


def _peak(bench: Bench, figure: Figure, start: int, events: int) -> float:
    """Hand over so many events in a process of its own, and return the most memory that it held, in MiB."""
    client = bench.client(start=start, report_by="in-process", window=WINDOW)
    [pump] = drain(bench, until=start + events, batch=BATCH)
    figure.raw.setdefault("pumps", []).append({"start": start, "events": events, **pump})
    bench.forget(client)
    return float(pump["peak_kib"]) / 1024

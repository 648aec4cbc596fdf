"""Memory: the peak of the pump's process does not grow with the backlog."""

from __future__ import annotations

from benchmarks.bench import Servers
from benchmarks.draining import drain
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes

WINDOW, BATCH = 1000, 500  # the defaults


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Drain a little of a long backlog, and all of a short one."""
    short = min(5_000, sizes.drained)
    figure = Figure(name="memory", setup={"window": WINDOW, "batch": BATCH, "drained": sizes.drained})
    found: dict[int, list[float]] = {sizes.backlog: [], short: []}
    with servers.bench_with_log(sizes.log) as bench:
        for _ in range(min(3, sizes.rounds)):
            for backlog, peaks in found.items():
                start = bench.last() - backlog
                client = bench.client(start=start, report_by="in-process", window=WINDOW)
                [pump] = drain(bench, until=start + min(backlog, sizes.drained), batch=BATCH)
                peaks.append(pump["peak_kib"] / 1024)
                figure.raw.setdefault("pumps", []).append({"backlog": backlog, **pump})
                bench.forget(client)
    figure.raw["peak_mib"] = {str(backlog): peaks for backlog, peaks in found.items()}
    row = Row.of_rates(
        f"peak memory of the pump, {sizes.backlog:,} events of backlog",
        found[sizes.backlog],
        found[short],
        f"{short:,} events of backlog",
        unit="MiB",
        targets=(Target(most=1.1),),
    )
    figure.rows.append(row)
    if sizes.drained < sizes.backlog:
        figure.notes.append(
            f"of the {sizes.backlog:,} events that lie before the client, {sizes.drained:,} are drained"
        )
    return figure

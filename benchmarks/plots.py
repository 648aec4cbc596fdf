"""Draw a run: ratios against their targets, and tables over time. SVG with text as text stays below 50 KB."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

matplotlib: Any = import_module("matplotlib")
matplotlib.use("Agg")
pyplot: Any = import_module("matplotlib.pyplot")

OURS, THEIRS, MISSED, LINE = "#2a6f97", "#a3a3a3", "#c44536", "#333333"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # letters as outlines take six times the space
    "svg.hashsalt": "1",  # or else an unchanged picture differs in every run
}


def plot(report: Mapping[str, Any], directory: Path) -> list[Path]:
    """Draw all that a run has figures for; return the files that were written."""
    directory.mkdir(parents=True, exist_ok=True)
    figures = {figure["name"]: figure for figure in report["figures"]}
    pyplot.rcParams.update(STYLE)
    written = []
    for name, (needs, draw) in PICTURES.items():
        found = {need: figures[need] for need in needs if need in figures}
        if found and (picture := draw(found)) is not None:
            host = report["machine"]
            picture.text(0.01, 0.005, f"{host['cores']} cores, {host['processor']}", fontsize=7, color=THEIRS)
            picture.tight_layout(rect=(0, 0.02, 1, 1))
            path = directory / f"{name}.svg"
            picture.savefig(path, metadata={"Date": None})
            written.append(path)
            pyplot.close(picture)
    return written


def _ratios(figures: Mapping[str, Any]) -> Any:
    """Draw every value that has a target, on one scale where 1 is the target."""
    bars = []
    for figure in figures.values():
        for row in figure["rows"]:
            for target in row["targets"]:
                value = row["ratio"] if target["of"] == "ratio" else row["ours"]
                if value:
                    reach = value / target["least"] if target["least"] is not None else target["most"] / value
                    bars.append(
                        (row["name"], reach, f"{value:,.3g}{'x' if target['of'] == 'ratio' else ' ' + row['unit']}")
                    )
    if not bars:
        return None
    picture, axes = pyplot.subplots(figsize=(9, 0.8 + 0.32 * len(bars)))
    names, reached, told = zip(*reversed(bars), strict=True)
    drawn = axes.barh(range(len(bars)), reached, color=[OURS if reach >= 1 else MISSED for reach in reached])
    axes.bar_label(drawn, labels=told, padding=3, fontsize=8)
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color=LINE, linewidth=1)
    axes.set_xlabel("measured, as a multiple of the target (right of the line: reached)")
    return picture


def _bloat(figures: Mapping[str, Any]) -> Any:
    """Draw deliveries a second and the size of their table over time; grey while the old snapshot is open."""
    samples = figures["bloat"]["raw"]["samples"]
    if len(samples) < 3:
        return None
    start = samples[0]["seconds"]
    times = [sample["seconds"] - start for sample in samples]
    pairs = list(itertools.pairwise(samples))
    rates = [(b["events"] - a["events"]) / (b["seconds"] - a["seconds"]) for a, b in pairs]
    picture, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5))
    upper.plot(times[1:], rates, color=OURS)
    upper.set_ylabel("deliveries a second")
    lower.plot(
        times, [sample["deliveries_bytes"] / 2**20 for sample in samples], color=OURS, label="fq.deliveries, MiB"
    )
    dead = [sample["deliveries_dead"] / 1000 for sample in samples]
    lower.plot(times, dead, color=THEIRS, label="dead rows, thousands")
    lower.legend(fontsize=8)
    lower.set_xlabel("seconds")
    held = [time for time, sample in zip(times, samples, strict=True) if sample["phase"] == "during"]
    for axes in (upper, lower):
        axes.set_ylim(bottom=0)
        if held:
            axes.axvspan(held[0], held[-1], color="#eeeeee", zorder=0)
    return picture


PICTURES: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Any]]] = {
    "ratios": (
        ("pump", "settle", "end-to-end", "publishing", "writers", "scale", "memory", "latency", "idle", "hot-key"),
        _ratios,
    ),
    "bloat": (("bloat",), _bloat),
}

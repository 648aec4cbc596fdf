"""`python -m benchmarks.brokers --rounds 5`: end to end and latency on Redis and on RabbitMQ, in turns.

Each broker has a process, a Postgres and a Redis of its own for the whole run, as in `benchmarks.alternate`. What
Celery takes alone (`.delay()`, the publisher included) is measured on both in the same turns.
"""

from __future__ import annotations

from statistics import median

import click

from benchmarks.alternate import THIS_TREE, ask, halves
from benchmarks.half.loops import DELAY, KINDS, TASKS

BROKERS = ("redis", "rabbitmq")
END_TO_END, LATENCY = "end to end", "latency"
FIGURES = (*(f"{END_TO_END}, {kind}" for kind in (*KINDS, DELAY)), LATENCY, f"{LATENCY}, {DELAY}")


@click.command(help=__doc__)
@click.argument("figures", nargs=-1, type=click.Choice(FIGURES), metavar="[FIGURES]...")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each figure.")
def main(figures: tuple[str, ...], rounds: int) -> None:
    """Let both brokers take turns, and print what each figure comes to on them, as rows of a Markdown table."""
    click.echo(f"| figure | {' | '.join(BROKERS)} |\n| --- | ---: | ---: |")
    with halves(*((THIS_TREE, broker) for broker in BROKERS)) as sides:
        for figure in figures or FIGURES:
            found: dict[str, list[list[float]]] = {broker: [] for broker in BROKERS}
            for turn in range(rounds):
                for nth in (0, 1) if turn % 2 else (1, 0):
                    found[BROKERS[nth]].append(ask(sides[nth], figure))
            click.echo(f"| {figure} | {' | '.join(told(figure, found[broker]) for broker in BROKERS)} |")


def told(figure: str, turns: list[list[float]]) -> str:
    """Say the medians of the turns: a rate and the processor time of an event, or two latencies."""
    seconds, ours, postgres, slowest = (median(column) for column in zip(*turns, strict=True))
    if figure.startswith(LATENCY):
        return f"p50 {seconds * 1000:.1f} ms, p99 {slowest * 1000:.1f} ms"
    kind = KINDS.get(figure.partition(", ")[2])
    events = TASKS * min(kind.batch if kind else 1, 10)
    return f"{events / seconds:,.0f}/s, {(ours + postgres) / events * 1e6:,.0f} µs of CPU"


if __name__ == "__main__":
    main()

"""Show what the demo does: a table that is redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.demo.facts import Check

RATE_SECONDS = 4.0
LINE_SECONDS = 2.0


class Standing(NamedTuple):
    """How far one client is, in events.

    Attributes:
        client: Its id.
        total: All events that it will get.
        published: Those that are in the log by now.
        dispatched: Those that were handed over.
        done: Those that its handlers have finished.
    """

    client: str
    total: int
    published: int
    dispatched: int
    done: int


class Progress:
    """Shows how far the clients are, until its `with` block ends.

    Args:
        console: Where it is shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._began = time.monotonic()
        self._rates: dict[str, deque[tuple[float, int]]] = {}
        self._line_at = 0.0

    def show(self, standings: Sequence[Standing], *, note: str, last: bool = False) -> None:
        """Show how far the clients are now.

        Args:
            standings: One for each client.
            note: What else is going on.
            last: Whether this is the end: then a line is printed even if the last one was a moment ago.
        """
        now = time.monotonic()
        rates = [self._rate(standing, now) for standing in standings]
        if self._console.is_terminal:
            self._live.update(self._table(standings, rates, note), refresh=True)
        elif last or now >= self._line_at:
            self._line_at = now + LINE_SECONDS
            done = ", ".join(f"{at.client} {at.done:,} of {at.total:,}" for at in standings)
            self._console.print(f"{now - self._began:5.1f} s  {note}; done: {done}", soft_wrap=True)

    def _rate(self, standing: Standing, now: float) -> float:
        """Return the events done per second, over the last few seconds."""
        seen = self._rates.setdefault(standing.client, deque())
        seen.append((now, standing.done))
        while now - seen[0][0] > RATE_SECONDS and len(seen) > 2:
            seen.popleft()
        return (seen[-1][1] - seen[0][1]) / max(now - seen[0][0], 0.001)

    def _table(self, standings: Sequence[Standing], rates: Sequence[float], note: str) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1), pad_edge=False)
        table.add_column("client", style="bold", no_wrap=True)
        table.add_column("", ratio=1, min_width=4)
        for name in ("published", "dispatched", "done", "rate/s", "lag"):
            table.add_column(name, justify="right", no_wrap=True, min_width=6)
        for at, rate in zip(standings, rates, strict=True):
            finished = at.done >= at.total
            lag = at.published - at.done
            table.add_row(
                at.client,
                ProgressBar(total=max(1, at.total), completed=at.done, finished_style="green"),
                f"{at.published:,}",
                f"{at.dispatched:,}",
                f"{at.done:,}",
                Text("done", style="green") if finished else f"{rate:,.0f}",
                Text(f"{lag:,}", style="dim" if not lag else "yellow"),
            )
        return Group(table, Text(f"{note} · {time.monotonic() - self._began:.0f} s", style="dim"))

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()


def verdict(console: Console, checks: Sequence[Check], *, caption: str) -> None:
    """Print every comparison, client by client."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("client", style="bold", no_wrap=True)
    table.add_column("fact", no_wrap=True)
    table.add_column("expected", no_wrap=True, justify="right")
    table.add_column("got", overflow="fold", justify="right")
    table.add_column("ok", no_wrap=True)
    for client in dict.fromkeys(check.client for check in checks):
        own = [check for check in checks if check.client == client]
        for check in own:
            table.add_row(
                client if check is own[0] else "",
                check.fact,
                check.expected,
                check.got,
                Text("yes", style="green") if check.ok else Text("NO", style="bold red"),
                end_section=check is own[-1],
            )
    console.print(table)

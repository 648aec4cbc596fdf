"""Show where clients stand: a table that fits the terminal, and below it in words whatever is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.command.invocation import as_typed
from bridge.command.texts import NO_CLIENTS, STATE_STYLES, plain
from bridge.wording import counted, span

if TYPE_CHECKING:
    from bridge.store.scheduled import ScheduledCount
    from bridge.store.status import ClientStatus

NAME_COLUMNS = 16  # a longer name breaks into lines before a column is left out
GAP_COLUMNS = 3


class Column(NamedTuple):
    """A column of the status table; those of the highest rank go first where the terminal is narrow."""

    name: str
    rank: int
    left: bool = False


COLUMNS = (
    Column("client", 0, left=True),
    Column("state", 0, left=True),
    Column("bridge", 1, left=True),
    Column("lag", 0),
    Column("lag time", 2),
    Column("open", 1),
    Column("waiting", 4),
    Column("parked", 0),
    Column("offset", 3),
    Column("dispatched", 5),
)


def status_view(rows: Sequence[ClientStatus], *, width: int) -> RenderableType:
    """Show where clients stand: a table that fits the width, and notes on what is wrong with them below it."""
    if not rows:
        return Text(as_typed(NO_CLIENTS))
    stopped = {row.stopped: None for row in rows if row.stopped}
    notes = [Text(f"stopped: {plain(as_typed(why))}", style="bold red") for why in stopped]
    notes += [note for row in rows for note in _notes(row)]
    horizon = rows[0].horizon
    final = f"final up to {horizon:,}" if horizon >= 0 else "empty, or no pump has looked at it yet"
    return Group(_fitting(rows, width), Text(), *notes, Text(f"the log is {final}", style="dim"))


def scheduled_line(count: ScheduledCount) -> str:
    """Say how many events are scheduled, and when the next one is due; nothing if there is none."""
    if count.next_in_seconds is None:
        return ""
    events = counted(count.events, "event is scheduled for later", "events are scheduled for later")
    late = count.next_in_seconds < -1
    due = f"is late by {span(-count.next_in_seconds)}" if late else f"is due in {span(max(0, count.next_in_seconds))}"
    return f"{events}, the next one {due}"


def _fitting(rows: Sequence[ClientStatus], width: int) -> Table:
    """Make a table of the most columns that fit the width; those of rank 0 stay in any case."""
    lines = [_cells(row) for row in rows]
    several = len({row.bridge for row in rows}) > 1
    shown = [c for c in COLUMNS if several or c.name != "bridge"]
    widths = {c.name: max(len(c.name), *(line[c.name].cell_len for line in lines)) for c in shown}
    least = widths | {"client": min(widths["client"], NAME_COLUMNS)}
    for rank in range(max(c.rank for c in shown), -1, -1):
        columns = [c for c in shown if c.rank <= rank]
        if sum(least[c.name] + GAP_COLUMNS for c in columns) - GAP_COLUMNS <= width:
            break
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False)
    for c in columns:
        # a name may break into lines, a number must not
        table.add_column(
            c.name,
            justify="left" if c.left else "right",
            overflow="fold",
            min_width=min(widths[c.name], 8) if c.name == "client" else widths[c.name],
        )
    for line in lines:
        table.add_row(*(line[c.name] for c in columns))
    return table


def _cells(row: ClientStatus) -> dict[str, Text]:
    driven = row.state != "reader"
    lag_style = "" if row.lag_events else "dim"
    return {
        "client": Text(plain(row.client)),
        "state": Text(row.state, style=STATE_STYLES.get(row.state, "")),
        "bridge": Text(plain(row.bridge) if driven else "-", style="" if driven else "dim"),
        "lag": Text(f"{row.lag_events:,}" + ("" if row.lag_is_exact else "+"), style=lag_style),
        "lag time": Text(span(row.lag_seconds) if row.lag_events else "-", style=lag_style),
        "open": Text(f"{row.open:,} / {row.window:,}") if driven else Text("-", style="dim"),
        "waiting": _count(row.waiting, driven),
        "parked": _count(row.parked, driven, style="bold red"),
        "offset": Text(f"{row.offset:,}"),
        "dispatched": _count(row.dispatched, driven, zero=""),
    }


def _count(number: int, driven: bool, *, style: str = "", zero: str = "dim") -> Text:
    return Text(f"{number:,}", style=style if number else zero) if driven else Text("-", style="dim")


def _notes(row: ClientStatus) -> Iterable[Text]:
    name = plain(row.client)
    if row.state not in ("active", "reader"):
        by = f" by {plain(row.state_by)}" if row.state_by else ""
        why = f": {plain(row.state_reason)}" if row.state_reason else ""
        yield Text(f"{name} is {row.state}{by}{why}", style=STATE_STYLES.get(row.state, ""))
    if row.retrying:
        yield Text(f"{name} will try {counted(row.retrying, 'event')} again after a failure", style="yellow")
    if row.undeclared_at:
        yield Text(
            f"{name} is not declared any more by the code of app {plain(row.declared_by or '')}: "
            f"{as_typed('`eventbridge register --prune`')} removes it",
            style="yellow",
        )
    if row.trouble:
        yield Text(f"{name} could not be served: {plain(as_typed(row.trouble))}", style="red")

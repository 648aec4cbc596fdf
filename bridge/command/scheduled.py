"""`eventbridge scheduled`: the events that are appended to the log later, and how one is cancelled."""

from __future__ import annotations

import click
from rich import box
from rich.table import Table

from bridge.command.group import not_there
from bridge.command.invocation import say
from bridge.command.output import console, print_json
from bridge.command.parameters import COUNT, json_option
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.wording import counted, moment, span


@click.command("scheduled", short_help="Show the events that are scheduled for later, or cancel some.")
@click.option("-n", "most", type=COUNT, default=20, metavar="N", show_default=True, help="Show at most N events.")
@click.option(
    "--cancel",
    "numbers",
    type=COUNT,
    multiple=True,
    metavar="NUMBER",
    help="Cancel the event of this number: it is never appended. Can be given again.",
)
@click.option("--cancel-id", "ids", multiple=True, metavar="ID", help="Cancel the event of this id, likewise.")
@json_option
@click.pass_context
def scheduled_command(
    ctx: click.Context, /, *, most: int, numbers: tuple[int, ...], ids: tuple[str, ...], as_json: bool
) -> None:
    """Show the events that are scheduled for later, the one that is due next first, or cancel some."""
    operator = operator_here(ctx)
    if numbers or ids:
        gone = operator.cancel_scheduled(numbers, ids=ids)
        if as_json:
            print_json(gone)
        elif gone:
            say(f"{counted(len(gone), 'event is', 'events are')} cancelled: {', '.join(map(str, gone))}")
        if set(numbers) - set(gone) or len(gone) < len(set(ids)):
            which = "some of these are not" if gone else "none of these is"
            not_there(ctx, f"{which} scheduled any more: see `eventbridge scheduled`", as_json=as_json)
        return
    events = operator.scheduled(most=most)
    if as_json:
        print_json(events)
        return
    if not events:
        say("no event is scheduled")
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in ("number", "due at", "in", "topic", "key", "id"):
        is_text = name in ("topic", "key", "id")  # which breaks into lines where it is long; the others do not
        table.add_column(name, justify="right" if name == "number" else "left", overflow="fold", no_wrap=not is_text)
    for event in events:
        late = event.in_seconds < 0
        table.add_row(
            str(event.number),
            moment(event.due_at),
            f"{span(-event.in_seconds)} late" if late else span(event.in_seconds),
            plain(event.topic),
            plain(event.key or ""),
            plain(event.id or ""),
        )
    console(ctx).print(table)

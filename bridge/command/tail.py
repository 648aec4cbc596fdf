"""`eventbridge tail`: look at the log as clients see it, without being one."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from bridge.command.completion import known_clients
from bridge.command.group import say_warning
from bridge.command.output import console, event_json, laid_out
from bridge.command.parameters import RowCount, archive_option, json_option, position, since, topic_patterns
from bridge.command.project import operator_here
from bridge.command.texts import SHOWN_CHARACTERS, event_line
from bridge.model import Position

OFFSET_COLUMNS = 10  # before what is said of an event


@click.command("tail")
@click.option(
    "--topics",
    "--topic",
    "topics",
    type=topic_patterns,
    default="#",
    metavar="P,P",
    help="Only these topics, as in order.*,invoice.#",
)
@click.option("--key", metavar="KEY", help="Only events of this key.")
@click.option("--client", shell_complete=known_clients, metavar="CLIENT", help="Only events that match its topics.")
@click.option(
    "--since",
    "after",
    type=since,
    metavar="TIME",
    help="Begin with what is so old, as in 10m, 2h or 3d, or was published since a timestamp.",
)
@click.option(
    "--from",
    "start",
    type=position,
    metavar="POSITION",
    help="Begin at an offset, a timestamp, so long ago, at the `beginning`, or `now`.  [default: the last events]",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for more events when the end is reached.")
@click.option(
    "-n",
    "most",
    type=RowCount(min=0),
    metavar="N",
    help="Show at most N events; without --from or --since, the last N.  [default: all from there, or the last 10]",
)
@archive_option
@json_option
@click.pass_context
def tail_command(
    ctx: click.Context,
    /,
    *,
    topics: Sequence[str],
    key: str | None,
    client: str | None,
    after: Position | None,
    start: Position | None,
    follow: bool,
    most: int | None,
    archive: str | None,
    as_json: bool,
) -> None:
    """Show events of the log, oldest first.

    An event is shown when it is final, so no event appears later between those that were shown. With --json, every
    event is one line, which `publish --many` can read; otherwise a long payload is cut off. With --archive, and --from
    or --since, events that were pruned are shown too.
    """
    if after is not None and start is not None:
        raise click.UsageError("say where to begin once: --from or --since")
    operator = operator_here(ctx)
    events = operator.tail(
        topics=topics,
        key=key,
        client=client,
        start=start or after,
        most=most,
        follow=follow,
        characters=None if as_json else SHOWN_CHARACTERS,
        archive=archive,
        say=say_warning,
    )
    out = console(ctx)
    for event in events:
        if as_json:
            click.echo(event_json(event))
        elif out.is_terminal:
            out.print(laid_out(Text.from_ansi(event_line(event)), out, indent=OFFSET_COLUMNS))
        else:
            click.echo(event_line(event))

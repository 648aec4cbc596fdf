"""`bridge parked`, `redrive` and `discard`: what was set aside, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from bridge.command.confirm import confirmed, yes
from bridge.command.output import console, print_json
from bridge.command.parameters import as_json, offset
from bridge.command.project import ready_store, whoami
from bridge.command.texts import plain
from bridge.operate.parked import discard as give_up
from bridge.operate.parked import redrive as try_again
from bridge.store import clients as stored
from bridge.store.parked import Selection, list_parked
from bridge.wording import counted

LAST = 50

_filters = (
    click.option("--key", "keys", multiple=True, metavar="KEY", help="Only events of this key; may be repeated."),
    click.option(
        "--error-type",
        "error_types",
        multiple=True,
        metavar="NAME",
        help="Only events that failed with an error of this type, as in ValueError; may be repeated.",
    ),
    click.option(
        "--offset",
        "offsets",
        multiple=True,
        type=offset,
        metavar="N",
        help="Only the event at this offset; may be repeated.",
    ),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose parked events; those that are given must all fit."""
    for option in reversed(_filters):
        command = option(command)
    return command


@click.command(short_help="List parked events, the last one first.")
@click.argument("client", required=False)
@filtered
@click.option(
    "-n", "most", type=click.IntRange(min=1), default=LAST, metavar="N", show_default=True, help="List at most N."
)
@click.option("--traceback", is_flag=True, help="Show tracebacks too, where they are known; --json always has them.")
@as_json
@click.pass_context
def parked(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    most: int,
    traceback: bool,
    as_json: bool,
) -> None:
    """List parked events of CLIENT, or of all clients, the last one first.

    They were set aside after their last attempt, and the cursor has passed them. Later events of their keys go on,
    unless the client is registered with --on-exhausted hold-key. An event is listed if all the options that are given
    fit it.
    """
    store = ready_store(ctx)
    if client is not None:
        stored.status(store, client)  # says so if there is no such client
    rows = list_parked(store, client, selection=_selection(keys, error_types, offsets), most=most)
    if as_json:
        print_json(rows)
        return
    out = console(ctx)
    for row in rows:
        out.print(_block(row, traceback=traceback))
    if not rows:
        click.echo("no events are parked" if _selection(keys, error_types, offsets).all else "no parked events fit")


@click.command()
@click.argument("client")
@click.option("--all", "everything", is_flag=True, help="All that are parked for CLIENT.")
@filtered
@as_json
@click.pass_context
def redrive(
    ctx: click.Context,
    /,
    *,
    client: str,
    everything: bool,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    as_json: bool,
) -> None:
    """Hand parked events to CLIENT again.

    Say which: --all, or those that fit all of the other options. They go out as its window has room and their keys are
    free; the cursor stays where it is.
    """
    selection = _chosen(everything, keys, error_types, offsets)
    done = try_again(ready_store(ctx), client, selection, by=whoami())
    if as_json:
        print_json({"client": client, "redriven": done})
    elif done:
        click.echo(f"{_events(len(done))} will be handed to client {client} again")
    else:
        click.echo(f"nothing to redrive: no parked events of client {client} fit, or they are on their way")


@click.command(short_help="Give parked events of CLIENT up for good.")
@click.argument("client")
@click.option("--all", "everything", is_flag=True, help="All that are parked for CLIENT.")
@filtered
@yes
@as_json
@click.pass_context
def discard(
    ctx: click.Context,
    /,
    *,
    client: str,
    everything: bool,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    yes: bool,
    as_json: bool,
) -> None:
    """Give parked events of CLIENT up for good; keys that were held for them go on.

    Say which: --all, or those that fit all of the other options. The events themselves stay in the log.
    """
    selection = _chosen(everything, keys, error_types, offsets)
    store = ready_store(ctx)
    if not yes:
        stored.status(store, client)
        found = len(list_parked(store, client, selection=selection, most=2**31))
        confirmed(f"discard {_events(found)} of client {client}, so that it never gets them?", yes=yes, as_json=as_json)
    done = give_up(store, client, selection, by=whoami())
    if as_json:
        print_json({"client": client, "discarded": done})
    else:
        click.echo(f"{_events(len(done))} of client {client} {'is' if len(done) == 1 else 'are'} discarded")


def _chosen(everything: bool, keys: Sequence[str], error_types: Sequence[str], offsets: Sequence[int]) -> Selection:
    """The selection; choosing everything has to be said."""
    selection = _selection(keys, error_types, offsets)
    if everything != selection.all:
        raise click.UsageError("say which: --all, or --key, --error-type and --offset")
    return selection


def _selection(keys: Sequence[str], error_types: Sequence[str], offsets: Sequence[int]) -> Selection:
    return Selection(keys=tuple(keys), error_types=tuple(error_types), offsets=tuple(offsets))


def _events(number: int) -> str:
    return counted(number, "parked event")


def _block(row: Mapping[str, Any], *, traceback: bool) -> Text:
    """A parked event in a few lines."""
    block = Text.assemble((plain(row["client_id"]), "bold"), f"  event {row['offset']}  ")
    block.append(plain(row["topic"]) if row["topic"] else "pruned from the log, it can't be redriven", style="cyan")
    if row["key"] is not None:
        block.append(f"  key={plain(row['key'])}" + (", which it holds" if row["held"] else ""))
    if row["redrive"]:
        block.append("  goes out again", style="green")
    since, parked_at = (row[name].strftime("%Y-%m-%d %H:%M:%S") for name in ("first_at", "parked_at"))
    block.append(
        f"\n  {plain(row['reason'])}, {counted(row['attempts'], 'attempt')} from {since} to {parked_at}", style="dim"
    )
    error = ": ".join(plain(said) for said in (row["error_type"], row["error"]) if said)
    if error:
        block.append(f"\n  {error}", style="red")
    if traceback and row["traceback"]:
        for line in row["traceback"].splitlines():
            block.append(f"\n    {plain(line)}", style="dim")
    return block

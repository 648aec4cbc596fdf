"""`eventbridge parked`, `redrive` and `discard`: what was set aside, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.text import Text

from bridge.command.completion import known_clients
from bridge.command.confirm import confirm
from bridge.command.fate import HOW_TO_LEARN_WHY, said_error, show_fate
from bridge.command.group import not_there
from bridge.command.invocation import say
from bridge.command.output import console, laid_out, print_json
from bridge.command.parameters import COUNT, event_offset, follow_option, json_option, span_seconds, yes_option
from bridge.command.project import operator_here
from bridge.command.texts import SHOWN_CHARACTERS, plain, some_offsets
from bridge.store.parked import ParkedEvent
from bridge.wording import counted, moment

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
        type=event_offset,
        metavar="N",
        help="Only the event at this offset; may be repeated.",
    ),
    click.option(
        "--older-than",
        "older_seconds",
        type=span_seconds,
        metavar="SPAN",
        help="Only events that have been parked for longer, as in 90d, 12h, 30m or 45s.",
    ),
)
all_option = click.option("--all", "everything", is_flag=True, help="All events that are parked for CLIENT.")


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose parked events; an event is chosen if all that are given fit it."""
    for option in reversed(_filters):
        command = option(command)
    return command


@click.command("parked", short_help="List parked events, the last one first.")
@click.argument("client", required=False, shell_complete=known_clients)
@filtered
@click.option("-n", "most", type=COUNT, default=50, metavar="N", show_default=True, help="List at most N events.")
@click.option("--traceback", is_flag=True, help="Show tracebacks too, where they are known; --json always has them.")
@follow_option
@json_option
@click.pass_context
def parked_command(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    older_seconds: float | None,
    most: int,
    traceback: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """List parked events of CLIENT, or of all clients, the last one first; with --follow the last one last.

    They were set aside after their last attempt, and the cursor has passed them. Later events of their keys go on,
    unless the client is registered with --on-exhausted hold-key. An event is listed if all the options that are given
    fit it.

    CLIENT and a single --offset show one event, parked or not: its payload and headers, its attempts and why each one
    failed, and what has become of it.
    """
    chosen: dict[str, Any] = {
        "keys": keys,
        "error_types": error_types,
        "offsets": offsets,
        "older_seconds": older_seconds,
    }
    operator = operator_here(ctx)
    if client is not None and len(set(offsets)) == 1 and not (keys or error_types or older_seconds or follow):
        fate = operator.fate(client, offsets[0], characters=None if as_json else SHOWN_CHARACTERS)
        show_fate(ctx, fate, client=client, offset=offsets[0], traceback=traceback, as_json=as_json)
        return
    if follow:
        out = console(ctx)
        for event in operator.follow_parked(client, **chosen, most=most):
            if as_json:
                print_json(event, indent=None)
            else:
                out.print(laid_out(_block(event, traceback=traceback), out))
        return
    found = operator.parked(client, **chosen, most=most)
    if as_json:
        print_json(found)
        return
    out = console(ctx)
    for event in found:
        out.print(laid_out(_block(event, traceback=traceback), out))
    if not found:
        say("no parked events fit" if any(chosen.values()) else "no events are parked")
    if untold := sum(event.error_type is None and event.reason.startswith("failed") for event in found):
        say(f"{counted(untold, 'event does', 'events do')} not say why. {HOW_TO_LEARN_WHY}")


@click.command("redrive")
@click.argument("client", shell_complete=known_clients)
@all_option
@filtered
@json_option
@click.pass_context
def redrive_command(
    ctx: click.Context,
    /,
    *,
    client: str,
    everything: bool,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    older_seconds: float | None,
    as_json: bool,
) -> None:
    """Hand parked events to CLIENT again.

    Say which: --all, or those that fit all of the other options. They go out as its window has room and their keys are
    free; the cursor stays where it is.
    """
    done = operator_here(ctx).redrive(
        client,
        everything=everything,
        keys=keys,
        error_types=error_types,
        offsets=offsets,
        older_seconds=older_seconds,
    )
    if as_json:
        print_json({"client": client, "redriven": done})
    elif done:
        say(f"{_events(len(done))} will be handed to client {client} again")
    elif not offsets:
        say(f"nothing to redrive: no parked events of client {client} fit, or they are on their way")
    if left := _left(offsets, done):
        not_there(ctx, f"not redriven: {left} (not parked, or on the way already)", as_json=as_json)


@click.command("discard", short_help="Give events of CLIENT up for good.")
@click.argument("client", shell_complete=known_clients)
@all_option
@filtered
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why, for the journal. With it, --offset may name an open event, or the next one, too.",
)
@yes_option
@json_option
@click.pass_context
def discard_command(
    ctx: click.Context,
    /,
    *,
    client: str,
    everything: bool,
    keys: Sequence[str],
    error_types: Sequence[str],
    offsets: Sequence[int],
    older_seconds: float | None,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Give parked events of CLIENT up for good; keys that were held for them go on.

    Say which: --all, or those that fit all of the other options. With --reason, --offset may also name events that are
    open, and those that would be handed over next. The events themselves stay in the log.
    """
    operator = operator_here(ctx)
    chosen: dict[str, Any] = {
        "everything": everything,
        "keys": keys,
        "error_types": error_types,
        "offsets": offsets,
        "older_seconds": older_seconds,
    }
    if not yes:
        found = operator.count_parked(client, **chosen)
        events = counted(len(set(offsets)), "event") if reason and offsets else _events(found)
        confirm(f"discard {events} of client {client}, so that it never gets them?", yes=yes, as_json=as_json)
    done = operator.discard(client, **chosen, reason=reason)
    if as_json:
        print_json({"client": client, "discarded": done})
    elif done or not offsets:
        events = counted(len(done), "event") if reason and offsets else _events(len(done))
        say(f"{events} of client {client} {'is' if len(done) == 1 else 'are'} discarded")
    if left := _left(offsets, done):
        known = "neither parked nor open, nor next" if reason else "not parked; --reason discards open and next ones"
        not_there(ctx, f"not discarded: {left} ({known})", as_json=as_json)


def _left(offsets: Sequence[int], done: Sequence[int]) -> str:
    """Name the events that were named and that nothing was done to; empty if there are none."""
    return some_offsets(sorted(set(offsets) - set(done)))


def _events(number: int) -> str:
    return counted(number, "parked event")


def _block(event: ParkedEvent, *, traceback: bool) -> Text:
    """Show a parked event in a few lines."""
    block = Text.assemble((plain(event.client_id), "bold"), f"  event {event.offset}  ")
    block.append(plain(event.topic) if event.topic else "not in the log any more, it can't be redriven", style="cyan")
    if event.key is not None:
        block.append(f"  key={plain(event.key)}" + (", which it holds" if event.held else ""))
    if event.redrive:
        block.append("  goes out again", style="green")
    since, parked_at = moment(event.first_at), moment(event.parked_at)
    attempts = counted(event.attempts, "attempt")
    block.append(f"\n  {plain(event.reason)}, {attempts} from {since} to {parked_at}", style="dim")
    if error := said_error(event):
        block.append(f"\n  {error}", style="red")
    if traceback and event.traceback:
        for line in event.traceback.splitlines():
            block.append(f"\n    {plain(line)}", style="dim")
    return block

"""`eventbridge prune`, `release` and `hold`: remove old events, and say who may keep them from being removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click

from bridge.command.completion import known_clients
from bridge.command.group import not_there
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import event_offset, json_option, span_seconds
from bridge.command.project import operator_here
from bridge.retention.prune import Pruned
from bridge.store.pruning import Holding
from bridge.wording import counted, moment


@click.command("prune")
@click.option(
    "--older-than",
    "older_seconds",
    type=span_seconds,
    metavar="SPAN",
    help="Remove events that are older, as in 30d, 12h or 90m.",
)
@click.option("--keep", type=int, metavar="N", help="Keep the newest N events in any case.")
@click.option(
    "--archive", metavar="DIR", help="Archive events in a directory, or at a URL, before they go.  [bridge_archive]"
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed, and who holds the log.")
@json_option
@click.pass_context
def prune_command(
    ctx: click.Context,
    /,
    *,
    older_seconds: float | None,
    keep: int | None,
    archive: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove old events that nobody needs any more.

    What a client has not finished stays, and so does what is parked, open, or in a replay. Events go in small batches,
    with pauses in between, so that nobody waits. Ctrl-C ends it at any time: what is gone is gone.
    """
    older_than = None if older_seconds is None else timedelta(seconds=older_seconds)
    done = operator_here(ctx).prune(older_than=older_than, keep=keep, archive=archive, dry_run=dry_run)
    if as_json:
        print_json(done._asdict())
        return
    verb = "removed" if done.removed else "would be removed"
    least = "" if done.exact else "at least "
    where = "" if done.first is None else f", from {done.first} to {done.last}"
    say(f"{least}{counted(done.events, 'event')} {verb}{where}")
    for line in _holding_lines(done):
        say(line)


@click.command("release")
@click.argument("client", shell_complete=known_clients)
@click.option("--reason", required=True, metavar="TEXT", help="Why, for those who read the status.")
@json_option
@click.pass_context
def release_command(ctx: click.Context, client: str, reason: str, as_json: bool) -> None:
    """Let CLIENT, which nobody serves, stop holding the log.

    It is halted, and its cursor stays. The log may then be pruned without regard to it, but for its parked events.
    """
    was = operator_here(ctx).release(client, reason=reason)
    if as_json:
        print_json({"client": client, "state": "reader" if was.task is None else "halted", "offset": was.offset})
    elif was.task is None:
        say(f"reader {client} holds the log no more, until its next commit; its cursor stands at {was.offset}")
    else:
        say(
            f"client {client} is halted and holds the log no more, its cursor stays at {was.offset}: after "
            f"`eventbridge resume {client}` it goes on behind what was pruned"
        )


@click.command("hold")
@click.argument("name", required=False)
@click.option("--from", "start", type=event_offset, metavar="OFFSET", help="The first event that is kept.")
@click.option("--for", "seconds", type=span_seconds, metavar="SPAN", help="How long from now on, as in 2d.")
@click.option("--end", is_flag=True, help="End the hold NAME.")
@json_option
@click.pass_context
def hold_command(
    ctx: click.Context, /, *, name: str | None, start: int | None, seconds: float | None, end: bool, as_json: bool
) -> None:
    """Keep events from being pruned for a while.

    Give the hold a NAME, such as that of a backup. Without a NAME, the holds are listed.
    """
    operator = operator_here(ctx)
    if name is None:
        found = operator.holds()
        if as_json:
            print_json([hold._asdict() for hold in found])
        for hold in () if as_json else found:
            say(f"{hold.name} keeps events from {hold.offset} on until {moment(hold.expires_at)}, by {hold.by}")
        if not (found or as_json):
            say("nothing is held")
        return
    if end:
        ended = operator.end_hold(name)
        if as_json:
            print_json({"name": name, "ended": ended})
        elif ended:
            say(f"hold {name} is ended")
        if not ended:
            not_there(ctx, f"there is no hold {name!r}: `eventbridge hold` lists those that there are", as_json=as_json)
        return
    if start is None or seconds is None:
        raise click.UsageError("say from where on with --from OFFSET and for how long with --for SPAN, or --end")
    made = operator.hold(name, start=start, seconds=seconds)
    if as_json:
        print_json(made._asdict())
    else:
        say(f"hold {made.name} keeps events from {made.offset} on until {moment(made.expires_at)}")


def _holding_lines(done: Pruned) -> Iterator[str]:
    for it in done.held_by:
        yield f"{_who(it)}: from {it.first} on, of {moment(it.event_at)}"


def _who(it: Holding) -> str:
    if it.kind == "hold":
        return f"hold {it.name} keeps the rest until {moment(it.expires_at)}"
    if it.kind == "replay":
        return f"a replay to client {it.name} still needs the rest"
    if it.state == "reader":
        return f"reader {it.name} has not committed the rest (`eventbridge release {it.name} --reason TEXT`)"
    why = f", {it.state} since {moment(it.state_at)}" if it.state_at and it.state != "active" else ""
    reason = f" ({it.state_reason})" if why and it.state_reason else ""
    way = "" if it.state == "active" else f"; if nobody serves it, `eventbridge release {it.name} --reason TEXT`"
    return f"client {it.name}{why}{reason} has not finished the rest{way}"

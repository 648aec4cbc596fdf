"""`eventbridge replay`: hand old events to one client again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.command.completion import known_clients
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import archive_option, json_option, position, topic_patterns
from bridge.command.project import operator_here
from bridge.model import Position
from bridge.operate.replay import Replay
from bridge.store.held import StoppedReplay
from bridge.wording import counted


@click.command("replay", short_help="Hand old events to CLIENT again.")
@click.argument("client", shell_complete=known_clients)
@click.option(
    "--from",
    "start",
    type=position,
    metavar="POSITION",
    help="The first event: `beginning`, an offset, a timestamp, or so long ago as in 2h.",
)
@click.option(
    "--to",
    "end",
    type=position,
    default="end",
    metavar="POSITION",
    help="The last event: `end`, an offset, or the timestamp, or span ago, before which it was created.  [end]",
)
@click.option(
    "--topics",
    type=topic_patterns,
    metavar="P,P",
    help="Only those of its topics that match, as in order.*,invoice.#",
)
@click.option(
    "--per-second",
    type=float,
    default=100,
    metavar="N",
    show_default=True,
    help="Most events to hand over in a second.",
)
@archive_option
@click.option("--stop", is_flag=True, help="Stop the replays of CLIENT instead, those that wait as well.")
@json_option
@click.pass_context
def replay_command(
    ctx: click.Context,
    /,
    *,
    client: str,
    start: Position | None,
    end: Position,
    topics: Sequence[str] | None,
    per_second: float,
    archive: str | None,
    stop: bool,
    as_json: bool,
) -> None:
    """Hand old events to CLIENT again, and to no other client; its cursor stays.

    The events of each key go out in order, beside new ones. Only events at or below the cursor are replayed. Parked
    events are not: the command `redrive` is for those. Several replays go side by side.
    """
    if stop == (start is not None):
        raise click.UsageError("say where it begins with --from POSITION, or --stop")
    operator = operator_here(ctx)
    if start is None:
        _show_stopped(client, operator.stop_replays(client), as_json=as_json)
    else:
        started = operator.replay(client, start=start, end=end, topics=topics, per_second=per_second, archive=archive)
        _show_started(client, started, per_second, archive=archive, as_json=as_json)


def _show_started(client: str, started: Replay, per_second: float, *, archive: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"client": client, **started._asdict()})
        return
    if started.restored:
        say(f"{counted(started.restored, 'archived event')} put back into the log, until pruned again")
    least = "" if started.exact else "at least "
    say(
        f"{least}{counted(started.events, 'event')} from {started.first} to {started.upto} "
        f"{'goes' if started.events == 1 else 'go'} to client {client} again, "
        f"at most {per_second:g} a second: `eventbridge explain {client}` says how far it is"
    )
    if started.pruned is not None:
        way = "" if archive or started.restored else "; what was archived comes back with --archive DIR"
        say(f"the log is pruned: events up to {started.pruned} may be gone, and do not go out{way}")


def _show_stopped(client: str, stopped: Sequence[StoppedReplay], *, as_json: bool) -> None:
    if as_json:
        print_json({"client": client, "stopped": [it._asdict() for it in stopped]})
        return
    for it in stopped:
        gone = counted(it.sent, "event has", "events have")
        say(f"a replay to client {client} is stopped at {it.next} of {it.upto}: {gone} gone out")
    if not stopped:
        say(f"no replay to client {client} was under way")

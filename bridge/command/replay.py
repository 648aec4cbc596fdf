"""`bridge replay`: hand old events to one client again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.command.output import print_json
from bridge.command.parameters import as_json
from bridge.command.parameters import topics as patterns
from bridge.command.project import ready_store, whoami
from bridge.model import Position
from bridge.operate.replay import replay as start_replay
from bridge.operate.replay import stop_replays
from bridge.store import Store
from bridge.wording import counted


@click.command(short_help="Hand old events to CLIENT again.")
@click.argument("client")
@click.option(
    "--from",
    "start",
    type=Position.parse,
    metavar="POSITION",
    help="The first event: `beginning`, an offset, or a timestamp.",
)
@click.option(
    "--to",
    "end",
    type=Position.parse,
    default="end",
    metavar="POSITION",
    help="The last event: `end`, an offset, or the timestamp before which it was created.  [end]",
)
@click.option(
    "--topics", type=patterns, metavar="P,P", help="Only those of its topics that match, as in order.*,invoice.#"
)
@click.option(
    "--per-second",
    type=float,
    default=100,
    metavar="N",
    show_default=True,
    help="Most events to hand over in a second.",
)
@click.option("--stop", is_flag=True, help="Stop the replays of CLIENT instead, those that wait as well.")
@as_json
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    *,
    client: str,
    start: Position | None,
    end: Position,
    topics: Sequence[str] | None,
    per_second: float,
    stop: bool,
    as_json: bool,
) -> None:
    """Hand old events to CLIENT again, and to nobody else; its cursor stays.

    Each key goes in order, beside what is new. Only what is at or below the cursor is replayed, without parked events:
    `bridge redrive` is for those. Several replays run one after another.
    """
    if stop == (start is not None):
        raise click.UsageError("say where it begins with --from POSITION, or --stop")
    if stop:
        _stop(ready_store(ctx), client, as_json=as_json)
        return
    assert start is not None
    done = start_replay(
        ready_store(ctx), client, start=start, end=end, topics=topics, per_second=per_second, by=whoami()
    )
    if as_json:
        print_json({"client": client, **done._asdict()})
    else:
        least = "" if done.exact else "at least "
        click.echo(
            f"{least}{counted(done.events, 'event')} from {done.first} to {done.upto} "
            f"{'goes' if done.events == 1 else 'go'} to client {client} again, "
            f"at most {per_second:g} a second: `bridge explain {client}` says how far it is"
        )


def _stop(store: Store, client: str, *, as_json: bool) -> None:
    stopped = stop_replays(store, client, by=whoami())
    if as_json:
        print_json({"client": client, "stopped": [it._asdict() for it in stopped]})
        return
    for it in stopped:
        gone = counted(it.sent, "event has", "events have")
        click.echo(f"a replay to client {client} is stopped at {it.next} of {it.upto}: {gone} gone out")
    if not stopped:
        click.echo(f"no replay to client {client} was under way")

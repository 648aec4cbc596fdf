"""`eventbridge recall`: hand over again now what is open, because its message is lost."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.command.completion import known_clients
from bridge.command.group import not_there
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import event_offset, json_option
from bridge.command.project import operator_here
from bridge.command.texts import some_offsets
from bridge.store.recall import Recalled
from bridge.wording import counted


@click.command("recall", short_help="Hand open events to CLIENT again, whose messages are lost.")
@click.argument("client", shell_complete=known_clients)
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Only events of this key; may be repeated.")
@click.option(
    "--offset",
    "offsets",
    multiple=True,
    type=event_offset,
    metavar="N",
    help="Only the event at this offset; may be repeated.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for the journal.")
@json_option
@click.pass_context
def recall_command(
    ctx: click.Context, /, *, client: str, keys: Sequence[str], offsets: Sequence[int], reason: str, as_json: bool
) -> None:
    """Hand open events to CLIENT again, because their messages are lost.

    Use it after a queue was purged, or after workers dropped a task that they did not know. All open events go out
    again at once, or those that fit all of the options, and no attempt is counted. A message that is not lost after all
    makes its event run twice, unless a worker drops it in time.
    """
    done = operator_here(ctx).recall(client, keys=keys, offsets=offsets, reason=reason)
    if as_json:
        print_json({"client": client, "recalled": done.offsets, "finished": done.finished})
    else:
        _show(client, done, named=bool(offsets))
    if left := some_offsets(sorted(set(offsets) - {*done.offsets, *done.finished})):
        why = "not open, of another key, or waiting for the next attempt"
        not_there(ctx, f"not recalled: {left} ({why})", as_json=as_json)


def _show(client: str, done: Recalled, *, named: bool) -> None:
    if done.finished:
        ends = counted(len(done.finished), "event is finished", "events are finished")
        say(f"{ends} without a message: the handler's transaction is done")
    if done.offsets:
        goes = counted(len(done.offsets), "open event goes", "open events go")
        say(f"{goes} to client {client} again, and no attempt is counted")
    elif not done.finished and not named:
        say(f"nothing to recall: no open event of client {client} fits, or they wait for their next attempt")

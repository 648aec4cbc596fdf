"""`eventbridge audit`: does everything add up for a client?"""

from __future__ import annotations

import click

from bridge.command.completion import known_clients
from bridge.command.group import FAILURE
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import event_offset, json_option
from bridge.command.project import operator_here
from bridge.command.texts import some_offsets
from bridge.operate.audit import Audit
from bridge.operate.contradictions import Contradiction
from bridge.wording import counted

WORDS = {
    "finished": "finished",
    "open": "open",
    "parked": "parked",
    "waiting": "waiting for their key",
    "filtered": "filtered out",
    "unread": "not handed over yet",
    "pruned": "pruned",
    "unwritten": "never written",
}


@click.command("audit", short_help="Prove that every event is accounted for.")
@click.argument("client", shell_complete=known_clients)
@click.option(
    "--from", "first", type=event_offset, metavar="OFFSET", help="The first offset; by default that of the log."
)
@click.option("--to", "last", type=event_offset, metavar="OFFSET", help="The last offset; by default the horizon.")
@click.option("--accept", is_flag=True, help="Afterwards begin the ledger anew: what is missing counts as accepted.")
@json_option
@click.pass_context
def audit_command(
    ctx: click.Context, /, *, client: str, first: int | None, last: int | None, accept: bool, as_json: bool
) -> None:
    """Prove that every event of the log is accounted for, for CLIENT.

    Each offset is finished, open, parked, waiting for its key, filtered out, not handed over yet, pruned, or was never
    written. What does not add up is named by its offset, and the exit code is 1. It changes nothing without --accept,
    and may be run while everything is busy.
    """
    operator = operator_here(ctx)
    found = operator.audit(client, first=first, last=last)
    if accept:
        operator.accept(client)
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
        if accept:
            say(f"the ledger of client {client} begins anew")
    if not found.holds and not accept:
        ctx.exit(FAILURE)


def _show(found: Audit) -> None:
    say(f"client {found.client}, offsets {found.first:,} to {found.last:,}")
    numbers = {words: f"{getattr(found.counts, name):,}" for name, words in WORDS.items()}
    column = max(map(len, numbers.values()))
    for words, number in numbers.items():
        click.echo(f"  {number:>{column}} {words}")
    for note in found.notes:
        say(f"note: {note}")
    for contradiction in found.contradictions:
        say(f"{click.style(contradiction.kind, fg='red')}: {_line(contradiction)}")
    if found.holds:
        say("everything adds up")


def _line(contradiction: Contradiction) -> str:
    line = f"{counted(contradiction.total, 'time')}: {contradiction.text}"
    for word, offsets in (("", contradiction.offsets), ("some of ", contradiction.among)):
        if offsets:
            line += f": {word}{some_offsets(offsets)}"
    return line


def _as_json(found: Audit) -> dict[str, object]:
    return {
        "client": found.client,
        "holds": found.holds,
        "first": found.first,
        "last": found.last,
        "cursor": found.cursor,
        "dispatched": found.dispatched,
        "counted_after": found.counted_after,
        "counts": found.counts,
        "contradictions": found.contradictions,
        "notes": found.notes,
    }

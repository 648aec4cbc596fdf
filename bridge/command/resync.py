"""`eventbridge resync`: after a restore of the database, begin a new generation of the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import event_offset, json_option
from bridge.command.project import operator_here
from bridge.operate.resync import Resynced
from bridge.wording import counted


@click.command("resync", short_help="After a restore: say what was lost, and go on.")
@click.option(
    "--above",
    type=event_offset,
    metavar="OFFSET",
    help="The highest offset that was ever drawn, where no broker remembers it.",
)
@click.option("--from-broker-mark", is_flag=True, help="Do nothing unless the broker remembers this log.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen; without --yes that is all that happens.")
@click.option("--yes", is_flag=True, help="Do it.")
@json_option
@click.pass_context
def resync_command(
    ctx: click.Context, /, *, above: int | None, from_broker_mark: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """After a restore of the database, or a fail-over that lost transactions, say what was lost, and go on.

    A new generation of the log begins: from the first offset that may name another event than before. The sequence goes
    above everything that was ever seen, every client gets a new epoch, and what is in flight goes out again. What was
    handed over before changes nothing any more. Without --yes, nothing is done but to say all this.
    """
    done = operator_here(ctx).resync(from_broker_mark=from_broker_mark, above=above, dry_run=dry_run or not yes)
    if as_json:
        print_json({**asdict(done), "clients": [it._asdict() for it in done.clients]})
        return
    for line in said(done):
        click.echo(line)
    if done.done and not done.mark_renewed:
        say("the broker could not be told: once it is back, run `eventbridge resync --yes` again")
    if not done.done:
        say("nothing was changed: `eventbridge resync --yes` does it")


def said(done: Resynced) -> Iterator[str]:
    """Say what was lost, and what was done or would be done."""

    def verb(now: str, later: str) -> str:
        return now if done.done else f"would {later}"

    if done.broker_log is not None:
        yield (
            f"the broker {done.broker} {verb('is', 'be')} taken from another log, {done.broker_log}: "
            "if that one is alive, give this one a bridge_queue of its own instead"
        )
    elif done.broker is not None and (done.broker_offset is None or done.broker_offset < 0):
        yield f"the broker {done.broker} has seen no event since its mark was last written anew"
    elif done.broker is not None:
        yield f"the broker {done.broker} has seen events up to offset {done.broker_offset}"
    if done.lost_from is not None and done.lost_upto is not None:
        number = done.lost_upto - done.lost_from + 1
        yield (
            f"offsets {done.lost_from} to {done.lost_upto} were drawn before the log went back: up to "
            f"{counted(number, 'event')} of before may be lost, and the log has {done.lost_present:,} there now"
        )
    else:
        yield "no witness knows of an event that the log does not have"
    yield f"generation {done.generation} {verb('began', 'begin')} at offset {done.first}"
    if done.sequence != done.sequence_before:
        yield f"the sequence {verb('went', 'go')} from {done.sequence_before} to {done.sequence}"
    back = [it for it in done.clients if it.offset != it.before]
    for it in back:
        yield f"client {it.client} {verb('went', 'go')} back from {it.before} to {it.offset}"
    again = sum(it.again for it in done.clients)
    if again:
        yield f"{counted(again, 'open delivery', 'open deliveries')} {verb('went', 'go')} out again"
    if forgotten := sum(it.forgotten for it in done.clients):
        yield (
            f"{counted(forgotten, 'delivery', 'deliveries')} or parked events at offsets that may name other events "
            f"{verb('were', 'be')} forgotten"
        )

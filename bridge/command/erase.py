"""`eventbridge erase`: forget what the events of a key hold."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bridge.command.confirm import confirm
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import archive_option, json_option, yes_option
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.operate.erase import Erasure
from bridge.wording import counted


@click.command("erase", short_help="Erase what the events of a key hold.")
@click.option("--key", required=True, metavar="KEY", help="The events of this key.")
@click.option(
    "--key-too",
    is_flag=True,
    help="Also replace the key by a random one, on the events that no client needs any more.",
)
@archive_option
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@yes_option
@json_option
@click.pass_context
def erase_command(
    ctx: click.Context, /, *, key: str, key_too: bool, archive: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Erase what the events of a key hold, for good, as the right to be forgotten asks for.

    Payloads become {"erased": true}, headers become {}, and the texts of errors of these events are erased too.
    Offsets, topics and cursors stay. A client that has not had an event yet gets it erased. The journal does not tell
    the key.
    """
    operator = operator_here(ctx)
    if dry_run or not yes:
        tried = operator.erase(key, key_too=key_too, archive=archive, dry_run=True)
        if dry_run or not as_json:
            _show(key, tried, as_json=as_json)
        if dry_run:
            return
        confirm(f"erase what the events of key {plain(key)} hold, for good?", yes=yes, as_json=as_json)
    _show(key, operator.erase(key, key_too=key_too, archive=archive), as_json=as_json)


def _show(key: str, erasure: Erasure, *, as_json: bool) -> None:
    if as_json:
        print_json(erasure)
        return
    for line in _lines(plain(key), erasure):
        say(line)


def _lines(key: str, erasure: Erasure) -> Iterator[str]:
    least = "" if erasure.exact else "at least "
    texts = counted(erasure.texts, "text of an error", "texts of errors")
    erased = f"{counted(erasure.erased, 'event')} {_verb(erasure, erasure.erased)}"
    yield f"{least}{counted(erasure.events, 'event')} of key {key}: {erased}, and {texts}"
    if erasure.scheduled:
        yield f"of those scheduled for later, {counted(erasure.scheduled, 'event')} {_verb(erasure, erasure.scheduled)}"
    for client, attempts in erasure.in_flight.items():
        held = "attempt, which holds" if attempts == 1 else "attempts, which hold"
        yield f"client {client} has {counted(attempts, held)} the event as it was until it ends"
    if erasure.texts_left:
        left = counted(erasure.texts_left, "text", "texts")
        yield f"{left} could not be erased, because a handler has the delivery in its transaction: erase again later"
    if not erasure.complete:
        yield "an open transaction may still commit events of this key: erase again when it has ended"
    if erasure.archived is not None:
        yield f"in the archive, {counted(erasure.archived, 'event')} {_verb(erasure, erasure.archived)}"
    else:
        yield "an archive, if you have one, holds what was pruned: `eventbridge erase --key KEY --archive DIR`"
    if erasure.scheduled_keys_replaced:
        renamed = counted(erasure.scheduled_keys_replaced, "scheduled event")
        yield f"the key of {renamed} is {erasure.pseudonym} now, and their ids are forgotten"
    if erasure.keys_replaced:
        yield f"the key of {counted(erasure.keys_replaced, 'event')} is {erasure.pseudonym} now"
    if erasure.keys_kept:
        keep = counted(erasure.keys_kept, "event keeps", "events keep")
        yield f"{keep} the key, because a client needs it for their order: erase again when they are done"


def _verb(erasure: Erasure, number: int) -> str:
    if erasure.dry_run:
        return "would be erased"
    return "is erased" if number == 1 else "are erased"

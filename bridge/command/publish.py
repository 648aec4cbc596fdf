"""`eventbridge publish`: append one event, or a file of them in one transaction."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import IO

import click

from bridge import wording
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import json_option, moment, span_seconds
from bridge.command.project import operator_here
from bridge.event import Scheduled
from bridge.operate.publish_lines import parse_json


@click.command("publish", short_help="Append an event to the log, now or later.")
@click.argument("topic", required=False)
@click.argument("payload", required=False)
@click.option("--key", metavar="KEY", help="Ordering key: events of one key reach a client in order.")
@click.option("--headers", metavar="JSON", help="JSON object that travels with the event.")
@click.option("--id", metavar="ID", help="Name of the event: of one id only one event is ever stored.")
@click.option("--after", type=span_seconds, metavar="SPAN", help="Append it so long after now, as in 90s, 10m or 3d.")
@click.option("--at", type=moment, metavar="TIME", help="Append it at this ISO 8601 time; without a zone it is UTC.")
@click.option(
    "--many",
    type=click.File("rb"),
    metavar="FILE",
    help="Publish every line of FILE instead: JSON objects with topic, payload, key and headers, as `tail --json` "
    "prints them, and id; - is stdin. All of them or none.",
)
@json_option
@click.pass_context
def publish_command(
    ctx: click.Context,
    /,
    *,
    topic: str | None,
    payload: str | None,
    key: str | None,
    headers: str | None,
    id: str | None,
    after: float | None,
    at: datetime | None,
    many: IO[bytes] | None,
    as_json: bool,
) -> None:
    """Append an event to the log, and print its offset; with --after or --at, schedule it.

    TOPIC is dotted words such as order.created; PAYLOAD is JSON, {} by default, and - reads it from stdin.
    """
    if many is not None:
        if (topic, payload, key, headers, id, after, at) != (None,) * 7:
            raise click.UsageError("with --many, topic, payload, key, headers and id come from the file, and no delay")
        found: list[int | Scheduled] = [*operator_here(ctx).publish_lines(many, name=getattr(many, "name", "stdin"))]
    elif topic is None:
        raise click.UsageError("name the TOPIC of the event, or a FILE of events with --many")
    else:
        text = sys.stdin.buffer.read() if payload == "-" else payload
        value = {} if text is None else parse_json(text, "payload")
        extra = None if headers is None else parse_json(headers, "headers")
        operator = operator_here(ctx)
        found = [operator.publish(topic, value, key=key, headers=extra, id=id, deliver_after=after, deliver_at=at)]
    for one in found:
        _show(one, as_json=as_json)


def _show(found: int | Scheduled, *, as_json: bool) -> None:
    """Print where an event is: its offset, or its number and when it is due."""
    offset = found.offset if isinstance(found, Scheduled) else found
    if isinstance(found, Scheduled) and found.number is not None:
        if as_json:
            print_json({"number": found.number, "due_at": found.due_at}, indent=None)
        else:
            say(f"scheduled as number {found.number}, due at {wording.moment(found.due_at)}")
    elif as_json:
        print_json({"offset": offset}, indent=None)
    else:
        click.echo(offset)

"""`eventbridge publish`: append one event, or a file of them in one transaction."""

from __future__ import annotations

import sys
from typing import IO

import click

from bridge.command.output import print_json
from bridge.command.parameters import json_option
from bridge.command.project import operator_here
from bridge.operate.publish_lines import parse_json


@click.command("publish")
@click.argument("topic", required=False)
@click.argument("payload", required=False)
@click.option("--key", metavar="KEY", help="Ordering key: events of one key reach a client in order.")
@click.option("--headers", metavar="JSON", help="JSON object that travels with the event.")
@click.option(
    "--many",
    type=click.File("rb"),
    metavar="FILE",
    help="Publish every line of FILE instead: JSON objects with topic, payload, key and headers, as `tail --json` "
    "prints them; - is stdin. All of them or none.",
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
    many: IO[bytes] | None,
    as_json: bool,
) -> None:
    """Append an event to the log, and print its offset.

    TOPIC is dotted words such as order.created; PAYLOAD is JSON, {} by default, and - reads it from stdin.
    """
    if many is not None:
        if (topic, payload, key, headers) != (None,) * 4:
            raise click.UsageError("with --many, topic, payload, key and headers come from the file")
        offsets = operator_here(ctx).publish_lines(many, name=getattr(many, "name", "stdin"))
    elif topic is None:
        raise click.UsageError("name the TOPIC of the event, or a FILE of events with --many")
    else:
        text = sys.stdin.buffer.read() if payload == "-" else payload
        value = {} if text is None else parse_json(text, "payload")
        extra = None if headers is None else parse_json(headers, "headers")
        offsets = [operator_here(ctx).publish(topic, value, key=key, headers=extra)]
    for offset in offsets:
        if as_json:
            print_json({"offset": offset}, indent=None)
        else:
            click.echo(offset)

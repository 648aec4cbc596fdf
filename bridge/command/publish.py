"""`bridge publish`: append one event, or a file of them in one transaction."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

import click
from sqlalchemy import Connection

from bridge.command.output import print_json
from bridge.command.parameters import as_json, parse_json
from bridge.command.project import ready_store
from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.log import publish as log

CHUNK = 2000  # events of one statement
DRAWN = ("offset", "created_at")  # `tail --json` prints them; the publish draws new ones


@click.command()
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
@as_json
@click.pass_context
def publish(
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
    if many is None and topic is None:
        raise click.UsageError("name the TOPIC of the event, or a FILE of events with --many")
    if many is not None and (topic, payload, key, headers) != (None,) * 4:
        raise click.UsageError("with --many, topic, payload, key and headers come from the file")
    if many is None:
        text = sys.stdin.buffer.read() if payload == "-" else payload
        value = {} if text is None else parse_json(text, "payload")
        extra = None if headers is None else parse_json(headers, "headers")
        with ready_store(ctx).transaction() as connection:
            offsets = [log.publish(connection, topic or "", value, key=key, headers=extra)]
    else:
        with ready_store(ctx).transaction() as connection:
            offsets = list(publish_lines(connection, many, name=getattr(many, "name", "stdin")))
    for offset in offsets:
        if as_json:
            print_json({"offset": offset}, indent=None)
        else:
            click.echo(offset)


def publish_lines(connection: Connection, lines: Iterable[bytes], *, name: str) -> Iterator[int]:
    """Append the events in these lines of JSON, and yield their offsets.

    Raises:
        InvalidEvent: a line holds no event, the message says which; the caller's transaction must be rolled back.
    """
    numbered = ((f"{name}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    events = ((where, _event(line, where)) for where, line in numbered)
    while chunk := list(islice(events, CHUNK)):
        try:
            yield from log.publish_many(connection, [event for _, event in chunk])
        except InvalidEvent:
            for where, event in chunk:  # which of them? what is sent on the way is rolled back with the rest
                try:
                    log.publish(connection, event.topic, event.payload, key=event.key, headers=event.headers)
                except InvalidEvent as error:
                    raise InvalidEvent(f"{where}: {error}") from error
            raise


def _event(line: bytes, where: str) -> NewEvent:
    fields: Any = parse_json(line, where)
    if not isinstance(fields, dict):
        raise InvalidEvent(f"{where} is not a JSON object with topic, payload, key and headers")
    unknown = sorted(set(fields) - set(NewEvent._fields) - set(DRAWN))
    if unknown:
        raise InvalidEvent(f"{where} has a field {unknown[0]!r}: an event has {', '.join(NewEvent._fields)}")
    if "topic" not in fields:
        raise InvalidEvent(f"{where} names no topic")
    return NewEvent(fields["topic"], fields.get("payload", {}), fields.get("key"), fields.get("headers"))

"""`bridge register` and `bridge clients`: who reads the log, with which task and on which terms."""

from __future__ import annotations

from typing import Any

import click
from celery import Celery

from bridge.command.group import exit_code, say_error, say_warning
from bridge.command.output import console, print_json
from bridge.command.parameters import as_json
from bridge.command.parameters import topics as patterns
from bridge.command.project import bridge_here, import_tasks, name_of, ready_store
from bridge.command.texts import clients_view, registered_line
from bridge.declare import registrations
from bridge.errors import BridgeError, Unavailable, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import SETTINGS
from bridge.store import clients as stored


def route(text: str) -> tuple[str, str]:
    """Read `PATTERN=TASK`."""
    pattern, equals, task = text.partition("=")
    if not (pattern and equals and task):
        raise click.BadParameter(f"{text!r} is not PATTERN=TASK, as in 'order.cancelled=shop.refund'")
    return pattern, task


@click.command(short_help="Register a client, or change its settings.")
@click.argument("client", required=False)
@click.option("--task", metavar="NAME", help="Name of the Celery task that gets its events; needed for a new client.")
@click.option("--queue", metavar="Q", help="Queue of the workers that run the task.  [celery]")
@click.option("--topics", type=patterns, metavar="P,P", help="Topic patterns, as in order.*,invoice.#  [#]")
@click.option(
    "--ordering",
    type=click.Choice(SETTINGS["ordering"].choices),
    help="One event at a time for each key; none: many at once, in any order; strict: one at a time.  [key]",
)
@click.option("--window", type=int, metavar="N", help="Most events that may be handed over and not finished.  [1000]")
@click.option(
    "--call",
    type=click.Choice(SETTINGS["call"].choices),
    help="Call the task with the whole event, with its payload, or with the payload's fields as keywords.  [event]",
)
@click.option("--max-attempts", type=int, metavar="N", help="Attempts at an event, the first one included.  [5]")
@click.option(
    "--backoff",
    "backoff_seconds",
    type=float,
    metavar="SECONDS",
    help="Longest wait before the second attempt; doubles with every further one.  [1]",
)
@click.option(
    "--backoff-max",
    "backoff_max_seconds",
    type=float,
    metavar="SECONDS",
    help="Longest wait before any attempt, however many there were.  [600]",
)
@click.option(
    "--ack-timeout",
    "ack_timeout_seconds",
    type=float,
    metavar="SECONDS",
    help="Hand an event over again if its task has reported nothing for so long.  [3600]",
)
@click.option(
    "--on-exhausted",
    type=click.Choice(SETTINGS["on_exhausted"].choices),
    help="After the last failed attempt: park the event, hold back its key as well, or halt the client.  [park]",
)
@click.option(
    "--batch",
    type=int,
    metavar="N",
    help="Up to N events in one message; a batch that fails is split until the event at fault is alone.  [1]",
)
@click.option("--batch-wait", "batch_wait_ms", type=int, metavar="MS", help="How long a batch may wait to fill.  [0]")
@click.option(
    "--batch-as",
    type=click.Choice(SETTINGS["batch_as"].choices),
    help="Call the task once with the list of a batch's events, or once for each of them.  [list]",
)
@click.option(
    "--report-by",
    "--commit",
    "report_by",
    type=click.Choice(SETTINGS["report_by"].choices),
    help="Outcomes are reported by callbacks, or by the fleet's workers, which write to Postgres themselves.  [callback]",
)
@click.option("--serializer", metavar="NAME", help="Serializer of the messages, as kombu names it.  [json]")
@click.option(
    "--route",
    "routes",
    type=route,
    multiple=True,
    metavar="PATTERN=TASK",
    help="Events whose topic matches go to this task instead; the first that matches counts. May be repeated.",
)
@click.option(
    "--start",
    type=Position.parse,
    metavar="POSITION",
    help="Where a new client begins: `beginning`, `now`, a timestamp, or the offset after which it begins.  [beginning]",
)
@click.option("--replace-task", is_flag=True, help="Let a client that exists call another task from now on.")
@as_json
@click.pass_context
def register(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    start: Position | None,
    replace_task: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Register CLIENT, or change its settings; its cursor stays where it is.

    Only what is given changes; the defaults in brackets are those of a new client. What the app's own code declares
    with @bridge.client need not be given, and without CLIENT every client declared there is registered.
    """
    app = bridge_here(ctx).app
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    if client is None and (given or start is not None):
        raise click.UsageError("name the CLIENT that these options are for")
    if client is not None:
        _ = Registration(id=client, given=given)  # refused before anything is imported
    import_tasks(app)
    wanted = _declared(app) if client is None else [_completed(client, given, start)]
    store = ready_store(ctx)
    done: list[tuple[Registration, stored.Registered]] = []
    worst = 0
    for registration in wanted:
        try:
            done.append((registration, stored.register(store, registration, replace_task=replace_task)))
        except Unavailable:
            raise
        except BridgeError as error:  # one client's trouble is not the others'
            say_error(str(error))
            worst = max(worst, exit_code(error))
    for registration, result in done:
        _warn(app, registration, result, start)
        if not as_json:
            click.echo(registered_line(registration.id, result))
    if as_json:
        print_json([{"client": registration.id, **_as_mapping(result)} for registration, result in done])
    ctx.exit(worst)


@click.command()
@as_json
@click.pass_context
def clients(ctx: click.Context, as_json: bool) -> None:
    """List the clients and their settings."""
    rows = stored.list_clients(ready_store(ctx))
    if as_json:
        print_json(rows)
    else:
        out = console(ctx)
        out.print(clients_view(rows, width=out.width))


def _declared(app: Celery) -> list[Registration]:
    """Every client that the code declares."""
    found = list(registrations())
    if not found:
        raise UsageError(
            f"the code of app {name_of(app)!r} declares no clients: put @bridge.client on a task, "
            "or name one: `bridge register CLIENT --task NAME`"
        )
    return found


def _completed(client: str, given: dict[str, Any], start: Position | None) -> Registration:
    """What was given, on top of what the code declares for this client."""
    declared = next((found for found in registrations() if found.id == client), None)
    if declared is None:
        return Registration(id=client, given=given, start=start or Position())
    return Registration(id=client, given={**declared.given, **given}, start=start or declared.start)


def _warn(app: Celery, registration: Registration, result: stored.Registered, start: Position | None) -> None:
    task = registration.given.get("task")
    if task is not None and task not in app.tasks:
        say_warning(
            f"task {task!r} is not registered in app {name_of(app)!r}: right if the fleet that consumes its queue knows it"
        )
    if start is not None and not result.created:
        say_warning(f"client {registration.id} exists already: its cursor stays at {result.offset}")


def _as_mapping(result: stored.Registered) -> dict[str, Any]:
    changed = {name: {"from": before, "to": after} for name, (before, after) in result.changed.items()}
    return {"created": result.created, "offset": result.offset, "changed": changed}

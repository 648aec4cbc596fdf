"""`eventbridge register` and `eventbridge clients`: who reads the log, with which task and on which terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from bridge.command.completion import known_clients
from bridge.command.group import exit_code, say_error, say_warning
from bridge.command.invocation import say
from bridge.command.output import console, print_json
from bridge.command.parameters import json_option, position, route, seconds, topic_patterns, yes_option
from bridge.command.project import operator_here
from bridge.command.pruning_clients import prune_undeclared, show_undeclared
from bridge.command.texts import clients_view, registered_line
from bridge.model import Position
from bridge.operate.registering import RegisteredClient, name_of
from bridge.settings.client import SETTINGS
from bridge.settings.setting import Kind, Setting

TYPES: Mapping[Kind, Any] = {
    "text": str,
    "switch": bool,
    "whole number": int,
    "number": float,
    "patterns": topic_patterns,
    "routes": route,
    "headers": str,
}
METAVARS: Mapping[Kind, str] = {
    "text": "NAME",
    "whole number": "N",
    "patterns": "P,P",
    "routes": "PATTERN=TASK",
    "headers": "HEADER",
}
UNITS = {"_seconds": "SECONDS", "_ms": "MS", "rate": "RATE"}  # by the end of a setting's name


def setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every setting of a client. Its help is the setting's, and ends with the setting's default."""
    for setting in reversed(list(SETTINGS.values())):
        command = _setting_option(setting)(command)
    return command


def _setting_option(setting: Setting) -> Callable[..., Any]:
    name, is_list = setting.name, setting.kind in ("routes", "headers")
    if setting.default is None:
        said = "Needed for a new client."
    elif is_list:
        said = "May be repeated."
    else:
        default = ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
        said = f" [{default}]" if default else ""
    flag = name.removesuffix("_seconds").removesuffix("_ms").replace("_", "-")
    metavar = METAVARS.get(setting.kind)
    for ending, unit in UNITS.items():
        metavar = unit if name.endswith(ending) else metavar
    return click.option(
        f"--{flag.removesuffix('s')}" if is_list else f"--{flag}",
        name,
        type=_type_of(setting),
        multiple=is_list,
        metavar=metavar,
        help=f"{setting.help} {said}".rstrip(),
    )


def _type_of(setting: Setting) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    return seconds if setting.name.endswith("_seconds") else TYPES[setting.kind]


@click.command("register", short_help="Register a client, or change its settings.")
@click.argument("client", required=False, shell_complete=known_clients)
@setting_options
@click.option("--commit", hidden=True, type=click.Choice(SETTINGS["report_by"].choices), help="Old --report-by.")
@click.option(
    "--start",
    type=position,
    metavar="POSITION",
    help="Where a new client begins: `beginning`, `now`, a timestamp, so long ago, or after an offset.  [beginning]",
)
@click.option("--replace-task", is_flag=True, help="Let a client that exists call another task from now on.")
@click.option("--ask-workers", is_flag=True, help="Then ask the workers, and name clients whose task none knows.")
@click.option("--prune", is_flag=True, help="Then remove the clients that the code declared once, and does not now.")
@click.option("--dry-run", is_flag=True, help="With --prune: only say which these are, and change nothing.")
@yes_option
@json_option
@click.pass_context
def register_command(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    start: Position | None,
    replace_task: bool,
    ask_workers: bool,
    prune: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    commit: str | None,
    **options: Any,
) -> None:
    """Register CLIENT, or change its settings; its cursor stays where it is.

    Only the settings that are given change; the defaults in brackets are those of a new client. What the app's own code
    declares with @bridge.client need not be given, and without CLIENT every client declared there is registered. With
    --prune, those that it has declared once and does not any more are removed; never what a person or SQL registered.
    """
    if dry_run and not prune:
        raise click.UsageError("--dry-run goes with --prune")
    if prune and (client is not None or start is not None):
        raise click.UsageError("--prune is about all clients that the code declares: leave CLIENT and --start out")
    options["report_by"] = options["report_by"] or commit
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    operator = operator_here(ctx)
    worst = 0
    if dry_run:
        show_undeclared(operator.undeclared(), as_json=as_json)
        return
    if client is not None:
        done = [operator.register(client, start=start, replace_task=replace_task, **given)]
    elif given or start is not None:
        raise click.UsageError("name the CLIENT that these options are for")
    else:
        done, refused = operator.register_declared(replace_task=replace_task, may_be_none=prune)
        for error in refused.values():
            say_error(str(error))
            worst = max(worst, exit_code(error))
    for result in done:
        _warn(name_of(operator.app), result, start)
        if not as_json:
            say(registered_line(result))
    if ask_workers:
        for said in operator.unknown_tasks(*(result.client for result in done)).values():
            say_warning(said)
    removed = prune_undeclared(operator, yes=yes, as_json=as_json) if prune else []
    if as_json:
        registered = [_as_mapping(result) for result in done]
        print_json({"registered": registered, "removed": removed} if prune else registered)
    ctx.exit(worst)


@click.command("clients")
@json_option
@click.pass_context
def clients_command(ctx: click.Context, as_json: bool) -> None:
    """List the clients and their settings."""
    found = operator_here(ctx).clients()
    if as_json:
        print_json(
            [{"id": client.id, **client.settings, "state": client.state, "offset": client.offset} for client in found]
        )
    else:
        out = console(ctx)
        out.print(clients_view(found, width=out.width))


def _warn(app: str, result: RegisteredClient, start: Position | None) -> None:
    if result.unknown_task is not None:
        say_warning(
            f"task {result.unknown_task!r} is not registered in app {app!r}: fine if the workers on its queue know it"
        )
    for note in result.notes:
        say_warning(note)
    if start is not None and not result.created:
        say_warning(f"client {result.client} exists already: its cursor stays at {result.offset}")


def _as_mapping(result: RegisteredClient) -> dict[str, Any]:
    changed = {name: {"from": before, "to": after} for name, (before, after) in result.changed.items()}
    return {"client": result.client, "created": result.created, "offset": result.offset, "changed": changed}

"""`eventbridge explain`: why a client stands where it stands, in plain words."""

from __future__ import annotations

from textwrap import wrap

import click
from rich.text import Text

from bridge.command.completion import known_clients
from bridge.command.invocation import as_typed
from bridge.command.output import console, print_json
from bridge.command.parameters import SecondsFrom, json_option
from bridge.command.project import operator_here
from bridge.command.texts import plain

SEVERITY_STYLES = {"error": "red", "warning": "yellow", "info": ""}


@click.command("explain")
@click.argument("client", shell_complete=known_clients)
@click.option("--offline", is_flag=True, help="Ask only the database, and not the broker and its workers.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=SecondsFrom(0.1),
    default=1.0,
    metavar="SECONDS",
    show_default=True,
    help="How long to wait for the broker, and then for its workers' answers.",
)
@json_option
@click.pass_context
def explain_command(ctx: click.Context, client: str, offline: bool, timeout_seconds: float, as_json: bool) -> None:
    """Say why CLIENT stands where it stands, and what to do about it."""
    causes = operator_here(ctx).explain(client, ask_broker=not offline, timeout_seconds=timeout_seconds)
    if as_json:
        found = [
            {
                "cause": cause.kind,
                "severity": cause.severity,
                "text": as_typed(cause.text),
                "do": cause.do and as_typed(cause.do),
                "page": cause.page,
                "data": cause.data,
            }
            for cause in causes
        ]
        print_json({"client": client, "causes": found})
        return
    out = console(ctx)
    out.print(Text(plain(client), style="bold"))
    for cause in causes:
        out.print(_paragraph(cause.text, width=out.width, style=SEVERITY_STYLES[cause.severity]))
        if cause.do:
            out.print(_paragraph(f"-> {cause.do}", width=out.width, style="dim", indent="    ", further=3))
    if said := [cause.kind for cause in causes if cause.severity != "info"]:
        kinds = list(dict.fromkeys(said))
        others = f" (or {', '.join(kinds[1:])})" if len(kinds) > 1 else ""
        out.print(_paragraph(f"more: `eventbridge about {kinds[0]}`{others}", width=out.width, style="dim"))


def _paragraph(text: str, *, width: int, style: str, indent: str = "  ", further: int = 0) -> Text:
    said, rest = plain(as_typed(text)), indent + " " * further
    lines = wrap(said, max(20, width), initial_indent=indent, subsequent_indent=rest, break_on_hyphens=False)
    return Text("\n".join(lines), style=style)

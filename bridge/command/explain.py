"""`bridge explain`: why a client stands where it stands, in plain words."""

from __future__ import annotations

from textwrap import wrap

import click
from rich.text import Text

from bridge.command.output import console, print_json
from bridge.command.parameters import as_json
from bridge.command.project import bridge_here, ready_store
from bridge.command.texts import plain
from bridge.operate import workers
from bridge.operate.explain import explain as causes_of
from bridge.store.facts import facts

GRAVE = ("rewound", "halted", "no-pump", "trouble", "broker-away", "no-consumer", "no-bridge-worker")
CALM = ("caught-up", "open", "unread", "next-pass", "reader", "key-next")


@click.command()
@click.argument("client")
@click.option("--offline", is_flag=True, help="Ask the database only, and not the broker and its workers.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1),
    default=1.0,
    metavar="SECONDS",
    show_default=True,
    help="How long to wait for the broker, and then for its workers' answers.",
)
@as_json
@click.pass_context
def explain(ctx: click.Context, client: str, offline: bool, timeout_seconds: float, as_json: bool) -> None:
    """Say why CLIENT stands where it stands, and what to do about it."""
    bridge = bridge_here(ctx)
    known = facts(ready_store(ctx), client)
    settings = bridge.settings
    seen = (
        None
        if offline or known.task is None
        else workers.look(bridge.app, queue=known.queue, bridge_queue=settings.queue, timeout_seconds=timeout_seconds)
    )
    causes = causes_of(known, seen, bridge_queue=settings.queue, lingers=settings.linger_seconds > 0)
    if as_json:
        print_json(
            {
                "client": client,
                "causes": [
                    {"cause": cause.kind, "text": cause.text, "do": cause.do, "data": dict(cause.data)}
                    for cause in causes
                ],
            }
        )
        return
    out = console(ctx)
    out.print(Text(plain(client), style="bold"))
    for cause in causes:
        style = "red" if cause.kind in GRAVE else "" if cause.kind in CALM else "yellow"
        out.print(_paragraph(cause.text, width=out.width, style=style))
        if cause.do:
            out.print(_paragraph(f"-> {cause.do}", width=out.width, style="dim", indent="    "))


def _paragraph(text: str, *, width: int, style: str, indent: str = "  ") -> Text:
    lines = wrap(plain(text), max(20, width), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return Text("\n".join(lines), style=style)

"""`eventbridge doctor`: is everything as the bridge needs it?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

import click
from rich.console import Console
from rich.text import Text

from bridge.command.group import FAILURE
from bridge.command.invocation import as_typed
from bridge.command.output import console, print_json
from bridge.command.parameters import SecondsFrom, json_option
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.operate.doctor import LEVELS, Finding
from bridge.wording import counted

MOST_ALIKE = 3  # findings that are shown one by one, and names of more of them in a line
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
STYLES = {"at-risk": "bold red", "warning": "yellow", "unknown": "cyan", "ok": "green"}
INDENT = 2
WIDEST = 100  # columns: longer lines are hard to read


@click.command("doctor", short_help="Check everything that the bridge rests on.")
@click.option("--all", "-a", "everything", is_flag=True, help="Also say what each check found that is in order.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=SecondsFrom(0.1),
    default=2.0,
    metavar="SECONDS",
    show_default=True,
    help="How long to wait for each connection, and then for the workers' answers.",
)
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, everything: bool, timeout_seconds: float, as_json: bool) -> None:
    """Check everything that the bridge rests on: Postgres, the broker, workers and clients.

    It needs no client and changes nothing. The exit code is 1 if time, order or events are at risk, and else 0.
    """
    found = operator_here(ctx).doctor(timeout_seconds=timeout_seconds)
    if as_json:
        print_json(
            {
                "at_risk": any(it.level == "at-risk" for it in found),
                "findings": [
                    {
                        "check": it.check,
                        "level": it.level,
                        "text": as_typed(it.text),
                        "do": it.do and as_typed(it.do),
                        "page": it.page,
                        "data": it.data,
                    }
                    for it in found
                ],
            }
        )
    else:
        _show(found, console(ctx), everything=everything)
    if any(it.level == "at-risk" for it in found):
        ctx.exit(FAILURE)


def _show(found: Sequence[Finding], out: Console, *, everything: bool) -> None:
    width = min(out.width, WIDEST)
    for group in grouped([it for it in found if it.level in ("at-risk", "warning")]):
        out.print(_paragraphs(group[0], width=width, others=group[1:]))
    for text, checks in _not_known(found).items():
        said = _wrapped(text, width=width, indent=len("unknown") + 2).lstrip()
        out.print(Text.assemble(("unknown", STYLES["unknown"]), "  ", said))
        out.print(Text(_wrapped(", ".join(checks), width=width), style="bold"))
    fine = [it for it in found if it.level == "ok"]
    if fine:
        out.print(Text("ok", style=STYLES["ok"]))
    if everything:
        column = max((len(it.check) for it in fine), default=0) + 2
        for it in fine:
            lines = _wrapped(it.text, width=width, indent=INDENT + column).lstrip()
            out.print(Text.assemble(" " * INDENT, (f"{it.check:<{column}}", "bold"), lines))
    elif fine:
        out.print(Text(_wrapped(", ".join(it.check for it in fine), width=width), style="dim"))
    out.print()
    out.print(_summary(found))


def _not_known(found: Sequence[Finding]) -> dict[str, list[str]]:
    """Return the names of the checks that could not look, by what they say: one server that is away stops many."""
    checks: dict[str, list[str]] = {}
    for it, *others in grouped([it for it in found if it.level == "unknown"]):
        more = f" (and {len(others):,} more like this)" if others else ""
        checks.setdefault(f"{it.text}{more}" if it.do is None else f"{it.text}{more} -> {it.do}", []).append(it.check)
    return checks


def grouped(found: Sequence[Finding]) -> list[list[Finding]]:
    """Put those together that differ in names and numbers only. Pure."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for it in found:
        groups.setdefault((it.check, it.level, _kind(it, it.text), _kind(it, it.do or "")), []).append(it)
    alike = list[list[Finding]]()
    for group in groups.values():
        alike += [group] if len(group) > MOST_ALIKE else [[it] for it in group]
    return alike


def _kind(it: Finding, text: str) -> str:
    """Return a sentence without the names and the numbers in it."""
    names = (str(value) for value in it.data.values() if isinstance(value, str) and value)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "…")
    return NUMBER.sub("N", text)


def _paragraphs(it: Finding, *, width: int, others: Sequence[Finding] = ()) -> Text:
    said = Text.assemble((it.level.replace("-", " "), STYLES[it.level]), "  ", (it.check, "bold"))
    said.append(f"\n{_wrapped(it.text, width=width)}")
    if others:
        named = [name for other in others[:MOST_ALIKE] if isinstance(name := other.data.get("client"), str)]
        some = f" of clients {', '.join(named)}{', …' if len(others) > len(named) else ''}" if named else ""
        said.append(f"\n{_wrapped(f'and {len(others):,} more like this{some}; --json has all', width=width)}")
    if it.do:
        said.append(f"\n{_wrapped(f'-> {it.do}', width=width, further=3)}")
    return said.append(f"\n{_wrapped(f'more: `eventbridge about {it.check}`', width=width)}", style="dim")


def _wrapped(text: str, *, width: int, indent: int = INDENT, further: int = 0) -> str:
    first, rest = " " * indent, " " * (indent + further)
    lines = wrap(
        plain(as_typed(text)), max(20, width), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return "\n".join(lines)


def _summary(found: Sequence[Finding]) -> Text:
    number = Counter(it.level for it in found)
    words = {
        "at-risk": f"{number['at-risk']} at risk",
        "warning": counted(number["warning"], "warning"),
        "unknown": f"{number['unknown']} not known",
        "ok": f"{number['ok']} ok",
    }
    return Text(", ").join(Text(words[level], style=STYLES[level]) for level in LEVELS if number[level])

"""`eventbridge about`: what `doctor` and `explain` mean by a word, from pages of the docs that the package brings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from textwrap import fill

import click
from click.shell_completion import CompletionItem

from bridge.command.invocation import NARROWEST_COLUMNS, as_typed, columns, say
from bridge.errors import UsageError
from bridge.settings import client
from bridge.settings.bridge import PREFIX, SETTINGS
from bridge.settings.setting import Setting

WIDEST = 100  # columns: longer lines are hard to read
PACKED = Path(__file__).parents[1] / "pages"  # where the wheel has them
DOCS = Path(__file__).parents[2] / "docs"  # and a checkout
SECTION = re.compile(r"^#{2,3} (?P<name>.+)\n(?P<text>(?:(?!#{1,3} ).*\n?)*)", re.MULTILINE)
NAME = re.compile(r"[a-z][a-z-]*")
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<page>[\w/-]+\.md)?[^)]*\)")
AS_IT_STANDS = ("|", "```", "    ")  # how a table begins, and code
SOURCES = {"doctor": "doctor.md", "explain": "troubleshooting.md"}
BROKERS = ("brokers.md", "What is tested")


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names() if name.startswith(incomplete)]


@click.command("about", short_help="Say what a word of doctor or explain means.")
@click.argument("name", required=False, shell_complete=_complete)
def about_command(name: str | None) -> None:
    """Say what NAME means, a word of `doctor` or `explain`: why it is so, and what to do.

    Without NAME the words are listed. NAME is also `settings` or `brokers`: what can be set, and which brokers can be
    used.
    """
    width = min(columns(), WIDEST)
    if name is None:
        for command, words in sorted(_by_command().items()):
            say(f"words of `eventbridge {command}`:")
            click.echo(fill(", ".join(words), width, initial_indent="  ", subsequent_indent="  "))
        click.echo("and: brokers, settings")
        return
    found = [*_texts(name)]
    if not found:
        raise UsageError(f"nothing is known about {name!r}: `eventbridge about` lists what there is")
    for nth, (title, text) in enumerate(found):
        click.echo(("\n" if nth else "") + click.style(title, bold=True))
        click.echo(_readable(text, width=width))


def names() -> list[str]:
    """Return all that can be asked about."""
    return sorted({*(word for words in _by_command().values() for word in words), "brokers", "settings"})


def _texts(name: str) -> Iterator[tuple[str, str]]:
    """Yield what there is about a name: a title and a text in Markdown, for each page that has it."""
    if name == "settings":
        yield "Settings of the bridge, in Celery's configuration", _settings(SETTINGS, PREFIX)
        yield "Settings of a client, options of `register`", _settings(client.SETTINGS)
    elif name == "brokers":
        page, section = BROKERS
        yield "Brokers", _sections(page)[section]
    else:
        for command, page in SOURCES.items():
            if NAME.fullmatch(name) and (text := _sections(page).get(name)):
                yield f"{name}, as `{command}` says it", text


def _settings(settings: Mapping[str, Setting], prefix: str = "") -> str:
    return "\n\n".join(f"`{prefix}{name}`: {it.help}" for name, it in settings.items())


def _by_command() -> dict[str, list[str]]:
    return {command: sorted(filter(NAME.fullmatch, _sections(page))) for command, page in SOURCES.items()}


@cache
def _sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their headings."""
    path = next(folder / page for folder in (PACKED, DOCS) if (folder / page).exists())
    return {it["name"]: it["text"].strip() for it in SECTION.finditer(path.read_text(encoding="utf-8"))}


def _readable(text: str, *, width: int) -> str:
    """Return a text in Markdown as a terminal shows it: pages instead of links, and as wide as it may be."""
    shown = []
    for paragraph in LINK.sub(_with_page, text.replace("**", "")).split("\n\n"):
        said = as_typed(" ".join(paragraph.split()) if not paragraph.startswith(AS_IT_STANDS) else paragraph)
        if not paragraph.startswith(AS_IT_STANDS):
            said = said.replace("*What to do:*", "What to do:")
            said = fill(said, max(NARROWEST_COLUMNS, width), break_long_words=False, break_on_hyphens=False)
        shown.append(said)
    return "\n\n".join(shown)


def _with_page(link: re.Match[str]) -> str:
    return f"{link['text']} (docs/{link['page']})" if link["page"] else link["text"]

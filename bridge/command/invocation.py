"""How the running command was called, so that messages advise what can really be typed.

Everywhere in the package a message writes a command as `eventbridge …` between backticks. Here that word is replaced by
`celery -A shop bridge`, `python -m bridge` or `eventbridge -A shop`, whichever was typed.
"""

from __future__ import annotations

import os
import shlex
import sys
from shutil import get_terminal_size
from textwrap import fill

import click

from bridge.calling import as_called

NARROWEST_COLUMNS = 40  # on a narrower terminal, lines break where it breaks them
PIPE_COLUMNS = 500  # nothing is cut off where no terminal sets a width
REPEATED = {"app": "-A", "config": "--config", "workdir": "--workdir"}  # without these, celery may take another app


def as_typed(text: str) -> str:
    """Replace `eventbridge` in the commands that a text advises by the way in which the running command was called."""
    context = click.get_current_context(silent=True)
    return text if context is None else as_called(text, prefix(context))


def say(text: str, *, err: bool = False) -> None:
    """Print a sentence on stdout, or stderr, with commands as they can be typed, and as wide as the terminal is."""
    said = as_typed(text)
    if (sys.stderr if err else sys.stdout).isatty():
        width = max(NARROWEST_COLUMNS, get_terminal_size().columns)
        said = fill(said, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    click.echo(said, err=err)


def columns() -> int:
    """Return how wide the terminal is; where there is none, as wide as lines may be."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return get_terminal_size().columns
    return PIPE_COLUMNS


def prefix(context: click.Context) -> str:
    """Return what stands before the name of a command, such as `celery -A shop bridge`."""
    root = context.find_root()
    words = [root.info_name or "eventbridge"]
    typed = _typed(root)
    words += [f"{flag} {shlex.quote(str(typed[name]))}" for name, flag in REPEATED.items() if typed.get(name)]
    if root.command.name == "celery":
        words.append("bridge")
    return " ".join(words)


def _typed(root: click.Context) -> dict[str, object]:
    """Return the options of the outermost command as they were typed: Celery has made an app of `-A NAME` meanwhile."""
    if root.parent is not None or not root.params:
        return {}
    try:
        options, _, _ = root.command.make_parser(root).parse_args(list(sys.argv[1:]))
    except click.UsageError:  # a program that calls the command without a command line of its own
        return {}
    return options

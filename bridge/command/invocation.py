"""How the running command was called, so that messages advise what can really be typed.

Everywhere in the package a message writes a command as `eventbridge …` between backticks. Here that word is replaced by
`celery -A shop bridge`, `python -m bridge` or `eventbridge -A shop`, whichever was typed.
"""

from __future__ import annotations

import shlex
import sys

import click

from bridge.calling import as_called

REPEATED = {"app": "-A", "config": "--config", "workdir": "--workdir"}  # without these, celery may take another app


def as_typed(text: str) -> str:
    """Replace `eventbridge` in the commands that a text advises by the way in which the running command was called."""
    context = click.get_current_context(silent=True)
    return text if context is None else as_called(text, prefix(context))


def say(text: str) -> None:
    """Print a text on stdout, with commands as they can be typed."""
    click.echo(as_typed(text))


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

"""Ask before something is done that can't be taken back."""

from __future__ import annotations

import click


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Return if the person at the keyboard agrees; a script agrees with --yes.

    Raises:
        click.UsageError: a program reads the output, so nobody is there to answer.
        click.Abort: the answer is no; the exit code is 1.
    """
    if yes:
        return
    if as_json:
        raise click.UsageError("--json asks nobody: say --yes")
    click.confirm(question, abort=True, err=True)

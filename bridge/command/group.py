"""What all commands share: sections in the help, and how a command ends when something is wrong.

An error is one line that names the thing and the way out. Exit codes: 1 the command failed, 2 it was called wrongly,
130 it was ended by Ctrl-C.
"""

from __future__ import annotations

from typing import IO, Any

import click

from bridge.command.invocation import as_typed
from bridge.errors import BridgeError, UsageError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class Refused(click.ClickException):
    """A `BridgeError` on its way to stderr and to the exit code."""

    def __init__(self, error: BridgeError) -> None:
        super().__init__(as_typed(str(error)))
        self.exit_code = exit_code(error)  # type: ignore[misc] # click declares it for the class

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one line."""
        say_error(self.message)


class BridgeGroup(click.Group):
    """A group that lists its commands by section, and turns errors into exit codes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands, to be listed under a title of their own."""
        for command in commands:
            self.add_command(command)
            self.sections.setdefault(title, []).append(command.name or "")

    def include(self, other: BridgeGroup) -> None:
        """Add another group's commands under the titles that they have there."""
        for title, names in other.sections.items():
            self.add_section(title, *(other.commands[name] for name in names))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of their sections."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one block of help per section."""
        room = formatter.width - 6 - max(len(name) for name in self.commands)
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that the bridge raises on purpose never becomes a traceback."""
        try:
            return super().invoke(ctx)
        except BridgeError as error:
            raise Refused(error) from error
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            raise Refused(UsageError(f"{error.object!r} is not Unicode text")) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def exit_code(error: BridgeError) -> int:
    """Return the exit code that tells a script whether the call was wrong, or something else."""
    return USAGE if isinstance(error, UsageError) else FAILURE


def say_error(message: str) -> None:
    """Print an error on stderr, in one line."""
    click.echo(f"{click.style('error:', fg='red')} {one_line(as_typed(message))}", err=True)


def say_warning(message: str) -> None:
    """Print a warning on stderr, in one line."""
    click.echo(f"{click.style('warning:', fg='yellow')} {one_line(as_typed(message))}", err=True)


def one_line(message: str) -> str:
    """Return the message without line breaks."""
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())

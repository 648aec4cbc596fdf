"""What all commands share: sections in the help, and how a command ends when something is wrong.

An error is one line that names the thing and the way out. Exit codes (decision 53):

0    it is done, or shown; nothing was to be done, or nothing fits what was asked for
1    it is not done, or not all of it, or the answer is no: a server is away, something that was named is not there
2    it was called wrongly, and will never work like this: an option, a setting, a client that is not registered
130  it was ended by Ctrl-C
"""

from __future__ import annotations

from typing import IO, Any

import click
from click.shell_completion import CompletionItem

from bridge.command.invocation import as_typed, say
from bridge.command.listed import Commands, Listed
from bridge.command.logs import speak
from bridge.errors import BridgeError, StoreLocked, UsageError

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
        self.commands: Commands = Commands()
        self.sections: dict[str, tuple[Listed, ...]] = {}

    def list_section(self, title: str, *commands: Listed) -> None:
        """Add commands, to be listed under a title of their own."""
        self.commands.list_names(commands)
        self.sections[title] = commands

    def include(self, other: BridgeGroup) -> None:
        """Add another group's commands under the titles that they have there."""
        for title, commands in other.sections.items():
            self.list_section(title, *commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the name of the command; what is wrong with them is said in one line, too."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _called_wrongly(error) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of their sections."""
        return [it.name for commands in self.sections.values() for it in commands]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option of the group."""
        found = [it for commands in self.sections.values() for it in commands if it.name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(it.name, help=it.about) for it in found), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one block of help per section."""
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(it.name, it.about) for it in commands])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that the bridge raises on purpose never becomes a traceback."""
        speak()
        try:
            return super().invoke(ctx)
        except StoreLocked as error:
            raise Refused(_with_holders(ctx, error)) from error
        except BridgeError as error:
            raise Refused(error) from error
        except click.UsageError as error:
            raise _called_wrongly(error) from error
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            raise Refused(UsageError(f"{error.object!r} is not Unicode text")) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def _with_holders(ctx: click.Context, error: StoreLocked) -> StoreLocked:
    """Add to an error who holds what was waited for, unless it says so."""
    if error.names_holder:
        return error
    from bridge.operate.operator import Operator  # only now: a command that only shows its help does not need it

    try:
        with Operator(ctx.obj.app) as operator:
            held = operator.who_locks()
    except BridgeError:
        return error
    return StoreLocked(f"{error}; {held}") if held else error


class CalledWrongly(click.ClickException):
    """What click says of a command line, in the form that all errors have."""

    exit_code = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one line."""
        say_error(self.message)


def _called_wrongly(error: click.UsageError) -> click.ClickException:
    """Say in a line what is wrong with a command line, and where to look; a call that only shows the help stays one."""
    if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2 on
        return error
    told = error.format_message().rstrip(".")
    told = told[:1].lower() + told[1:]
    path = error.ctx.command_path if error.ctx is not None else ""
    return CalledWrongly(f"{told}: see `{path} --help`" if path else told)


def not_there(ctx: click.Context, message: str, *, as_json: bool = False) -> None:
    """End with the exit code 1, because something that was named is not there; who reads JSON has read it there."""
    if not as_json:
        say_error(message)
    ctx.exit(FAILURE)


def exit_code(error: BridgeError) -> int:
    """Return the exit code that tells a script whether the call was wrong, or something else."""
    return USAGE if isinstance(error, UsageError) else FAILURE


def say_error(message: str) -> None:
    """Print an error on stderr, in one line."""
    say(f"{click.style('error:', fg='red')} {_without_breaks(message)}", err=True)


def say_warning(message: str) -> None:
    """Print a warning on stderr, in one line."""
    say(f"{click.style('warning:', fg='yellow')} {_without_breaks(message)}", err=True)


def _without_breaks(message: str) -> str:
    """Return a message in one line; what was a line of it ends with a semicolon."""
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())

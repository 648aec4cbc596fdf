"""Commands that are imported when they run: to list them, or to complete their names, takes only their names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

import click


class Listed(NamedTuple):
    """A command as it is listed.

    Attributes:
        name: How it is called.
        module: Which module of this package has it, as `NAME_command`.
        about: What it does, in a few words; the same that the command itself says.
    """

    name: str
    module: str
    about: str

    def load(self) -> click.Command:
        """Import the command."""
        found: click.Command = getattr(import_module(f"bridge.command.{self.module}"), f"{self.name}_command")
        return found


class Commands(dict[str, click.Command]):
    """The commands of a group by their names; one that is only listed is imported when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: dict[str, Listed] = {}

    def list_names(self, commands: Iterable[Listed]) -> None:
        """Add commands that are not imported yet."""
        for it in commands:
            self.listed[it.name] = it
            super().__setitem__(it.name, click.Command(it.name))

    def __getitem__(self, name: str) -> click.Command:
        if name in self.listed:
            super().__setitem__(name, self.listed.pop(name).load())
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a command, which may have to be imported."""
        return self[name] if name in self else default  # noqa: SIM401 - this is `get`

    def values(self) -> Any:
        """Return all commands; each is imported."""
        self._load()
        return super().values()

    def items(self) -> Any:
        """Return all commands with their names; each is imported."""
        self._load()
        return super().items()

    def _load(self) -> None:
        for name in list(self.listed):
            self[name]

"""Clocks of the bridge's processes that are wrong by up to an hour, and that somebody sets while they run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from tests.support.clocks import WrongClock

MOST_SECONDS = 3600


class Clocks:
    """A clock for each process.

    Args:
        directory: For what they need.
        choose: Random choices.
    """

    def __init__(self, directory: Path, choose: random.Random) -> None:
        self._directory, self._choose = directory, choose
        self._clocks: dict[str, WrongClock] = {}

    def env(self, name: str) -> Mapping[str, str]:
        """Return the environment of a process with a wrong clock of its own."""
        it = self._clocks[name] = WrongClock(self._directory / f"clock of {name}".replace(" ", "-"), self._draw())
        return it.env

    def set_one(self) -> str:
        """Set one of them; return what was done."""
        name, seconds = self._choose.choice(sorted(self._clocks)), self._draw()
        self._clocks[name].set(seconds)
        return f"the clock of {name} was set to be {seconds} s ahead"

    def _draw(self) -> int:
        return self._choose.randint(-MOST_SECONDS, MOST_SECONDS)

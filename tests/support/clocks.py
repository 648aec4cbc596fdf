"""Clocks that are wrong, or that somebody sets: a process sees the machine's clock, moved by a number of seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class WrongClock:
    """A wall clock for other processes; their monotonic clocks stay right.

    Args:
        directory: For what the compiler makes, and for the file that says how wrong it is.
        seconds: By how much it is ahead.
    """

    def __init__(self, directory: Path, seconds: int) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("no C compiler on Linux: clocks can't be set for single processes")
        directory.mkdir(parents=True, exist_ok=True)
        self._library, self._file = directory / "clock.so", directory / "seconds"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        self.set(seconds)

    def set(self, seconds: int) -> None:
        """Set it, as an administrator does, while processes run."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.rename(self._file)  # in one step: processes read it all the time

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that sees this clock."""
        preload = " ".join(filter(None, [str(self._library), os.environ.get("LD_PRELOAD")]))
        return {"LD_PRELOAD": preload, "WRONG_CLOCK": str(self._file)}

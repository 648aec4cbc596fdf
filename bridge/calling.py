"""How the bridge's commands are called where this process runs, so that errors and logs advise what can be typed.

Everywhere in the package a text writes a command as `eventbridge …` between backticks. Most users can type just that.
A Django project has `manage.py bridge …` instead, and says so here when it starts. The command line knows better than
this how it was called itself: see `command/invocation.py`.
"""

from __future__ import annotations

import re

NEUTRAL = "eventbridge"
DJANGOS = "manage.py bridge"
ADVISED = re.compile(rf"`(?:{re.escape(NEUTRAL)}|{re.escape(DJANGOS)})(?= )")  # a text may come from another process

_here = [NEUTRAL]


def call_commands(words: str) -> None:
    """Let this process advise commands that begin with these words, such as `manage.py bridge`."""
    _here[:] = [words]


def as_called(text: str, words: str | None = None) -> str:
    """Return a text with the commands that it advises as they are called here, or with these words."""
    return ADVISED.sub(lambda _: f"`{words or _here[0]}", text)

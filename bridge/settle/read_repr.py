"""Read an exception's class and message from the texts that an event of Celery's has: its `repr` and its traceback. Pure.

The class is to be the name that `parked --error-type` knows from the other ways: `ValueError`, without its module.
"""

from __future__ import annotations

import re

MOST_READ_CHARACTERS = 64 * 1024  # of the traceback's end, and of its beginning
HEADER = re.compile(r"Traceback \(most recent call last\):\n")
CALLED = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\(")
ENDING = re.compile(r"^([^\W\d][\w.<>]*)(?:: |$)", re.MULTILINE)  # of a traceback: a line that is not indented
QUOTED = re.compile(r"""(['"])(.*)\1,?""", re.DOTALL)


def read_repr(shown: str, traceback: str) -> tuple[str | None, str | None]:
    """Return the name of the class, and the message.

    Args:
        shown: The exception's `repr`, such as `ValueError('no')`.
        traceback: As text; empty if there is none.
    """
    called = CALLED.match(shown)
    named = _name(called[1]) if called else None
    if (ending := _ending(traceback, named)) is not None:
        return ending
    if called is not None and shown.endswith(")"):
        inside = shown[called.end() : -1]
        quoted = QUOTED.fullmatch(inside)
        return named, quoted[2] if quoted else inside
    return None, shown or None


def _ending(traceback: str, named: str | None) -> tuple[str, str] | None:
    """Read the end of a traceback: `shop.Refused: the message`, which may have many lines."""
    if len(traceback) > 2 * MOST_READ_CHARACTERS:
        traceback = traceback[:MOST_READ_CHARACTERS] + "\n" + traceback[-MOST_READ_CHARACTERS:]
    # The first line behind the frames, which are indented. A message may hold a whole traceback of another exception.
    ends = [end for header in HEADER.finditer(traceback) if (end := ENDING.search(traceback, header.end()))]
    for end in reversed([end for end in ends if _name(end[1]) == named] or ends):
        return _name(end[1]), traceback[end.end() :].rstrip("\n")
    return None


def _name(path: str) -> str:
    return path.rpartition(".")[2]

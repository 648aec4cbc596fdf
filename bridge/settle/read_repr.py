"""Read an exception's class and message from the texts of an event: its `repr` and its traceback. Pure.

The class is to be the name that `parked --error-type` knows from the other ways: `ValueError`, without its module.
"""

from __future__ import annotations

import re
from bisect import bisect_left

WRAPPER = "UnpickleableExceptionWrapper"
MOST_READ_CHARACTERS = 64 * 1024  # of the traceback's end, and of its beginning
HEADER = re.compile(r"Traceback \(most recent call last\):\n")
CALLED = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\(")
ENDING = re.compile(r"^([^\W\d][\w.<>]*)(?:: |$)", re.MULTILINE)  # of a traceback: a line that is not indented
QUOTED = re.compile(r"""(['"])((?:(?!\1).)*)\1,?""", re.DOTALL)


def read_repr(shown: str, traceback: str) -> tuple[str | None, str | None]:
    """Return the name of the class, and the message.

    Args:
        shown: The exception's `repr`, such as `ValueError('no')`.
        traceback: As text; empty if there is none.
    """
    whole = len(shown) <= MOST_READ_CHARACTERS
    shown = shown[:MOST_READ_CHARACTERS]
    called = CALLED.match(shown)
    named = _name(called[1]) if called else None
    found = _ending(traceback, named)
    if found is None and called is not None and (shown.endswith(")") or not whole):
        inside = shown[called.end() : -1 if whole else None]
        quoted = QUOTED.fullmatch(inside)
        found = _name(called[1]), quoted[2] if quoted else inside
    if found is None:
        return None, shown or None
    return _unwrapped(*found)


def _unwrapped(kind: str, message: str) -> tuple[str, str]:
    """Return the class of an exception that could not be pickled: Celery shows another one with its `repr`."""
    inner = CALLED.match(message) if kind == WRAPPER else None
    return (_name(inner[1]) if inner else kind), message


def _ending(traceback: str, named: str | None) -> tuple[str, str] | None:
    """Read the end of a traceback: `shop.Refused: the message`, which may have many lines."""
    if len(traceback) > 2 * MOST_READ_CHARACTERS:
        traceback = traceback[:MOST_READ_CHARACTERS] + "\n" + traceback[-MOST_READ_CHARACTERS:]
    # The first line behind the frames, which are indented. A message may hold a whole traceback of another exception,
    # and thousands of headers: looking for the end of each from its beginning would take seconds then.
    lines = list(ENDING.finditer(traceback))
    starts = [line.start() for line in lines]
    first = [bisect_left(starts, header.end()) for header in HEADER.finditer(traceback)]
    ends = [lines[nth] for nth in dict.fromkeys(first) if nth < len(lines)]
    for end in reversed([end for end in ends if _name(end[1]) == named] or ends):
        return _name(end[1]), traceback[end.end() :].rstrip("\n")
    return None


def _name(path: str) -> str:
    return path.rpartition(".")[2]

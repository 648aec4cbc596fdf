"""Say why an attempt failed: a `Failure` of any object, as text that Postgres takes and that nobody has to scroll.

An exception comes from a handler, so nothing about it is certain: its `str()` may raise, be huge, or hold characters
that no database keeps. Each `Failure` is made here, clean and bounded, so that no outcome waits for another's text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.bounds import ERROR_MESSAGE_BYTES, ERROR_TYPE_CHARACTERS, TRACEBACK_BYTES
from bridge.model import Failure

LEFT_OUT = " … "
UNTOLD = "an error that can't be shown"


def failure_of(error: object, traceback: object = None) -> Failure:
    """Make a `Failure` of an exception and its traceback, whatever these are; it never raises.

    Args:
        error: The exception, in most cases.
        traceback: Its traceback as text, or an object whose `str()` is that text.
    """
    return Failure(
        type=_short(_said(lambda: type(error).__name__), most=ERROR_TYPE_CHARACTERS),
        message=bounded(_said(lambda: str(error)), most_bytes=ERROR_MESSAGE_BYTES),
        traceback=_traceback(traceback),
    )


def failure_in(meta: object) -> Failure:
    """Read a `Failure` from what a result backend keeps of a task; it is empty where that knows nothing."""
    kept: dict[Any, Any] = meta if isinstance(meta, dict) else {}
    result, traceback = kept.get("result"), kept.get("traceback")
    if isinstance(result, BaseException):
        return failure_of(result, traceback)
    return Failure(traceback=_traceback(traceback))


def bounded(text: str, *, most_bytes: int, tail_bytes: int = 0) -> str:
    r"""Cut a text to at most so many bytes of UTF-8, never within a character, and write out what Postgres refuses.

    U+0000 becomes the four characters `\x00`, and half of a surrogate pair six such as `\udce9`.

    Args:
        text: Any text.
        most_bytes: How long the answer may be.
        tail_bytes: How much of that is for the text's end, where it is too long.
    """
    # Cut first: a text of a gigabyte would be copied three times. A character has a byte at least.
    head, tail = _clean(text[: most_bytes + 1]), _clean(text[-tail_bytes:] if tail_bytes else "")
    if len(text) <= most_bytes and len(head) <= most_bytes:
        return head.decode()
    mark = LEFT_OUT.encode()
    end = tail[len(tail) - tail_bytes :] if len(tail) > tail_bytes else tail
    start = head[: max(0, most_bytes - len(mark) - len(end))]
    return start.decode(errors="ignore") + LEFT_OUT + end.decode(errors="ignore")


def _traceback(given: object) -> str | None:
    if given is None:
        return None
    text = _said(lambda: given if isinstance(given, str) else str(given))
    return bounded(text, most_bytes=TRACEBACK_BYTES, tail_bytes=TRACEBACK_BYTES // 2)


def _short(text: str, *, most: int) -> str:
    """Cut to at most so many characters, the marks of what was written out included."""
    return _clean(text[:most]).decode()[:most]


def _clean(text: str) -> bytes:
    return text.encode(errors="backslashreplace").replace(b"\0", rb"\x00")


def _said(say: Callable[[], str]) -> str:
    """Return what an object says of itself; a subclass of `str` becomes a plain one, with no methods of its own."""
    try:
        return str.__str__(say())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a handler's `__str__` may raise anything
        return f"{UNTOLD}: to say it raises {type(error).__name__}"

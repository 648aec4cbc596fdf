"""Say why an attempt failed: a `Failure` of any object, as text that Postgres takes and that nobody has to scroll.

An exception comes from a handler, so nothing about it is certain: its `str()` may raise, be huge, or hold characters
that no database keeps. Each `Failure` is made here, clean and bounded, so that no outcome waits for another's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from celery.utils.serialization import UnpickleableExceptionWrapper

from bridge.bounds import ERROR_MESSAGE_BYTES, ERROR_TYPE_CHARACTERS, HOST_CHARACTERS, TRACEBACK_BYTES
from bridge.model import Failure
from bridge.settle.read_repr import read_repr

LEFT_OUT = " … "
NAME_OF_CLASS = type.__dict__["__name__"].__get__
UNTOLD = "an error that can't be shown"
LONGEST_SECONDS = 10 * 365 * 24 * 3600.0
CALLBACK, WORKER, EVENT, RESULT_BACKEND = "callback", "worker", "event", "result backend"  # who tells


def failure_of(
    error: object,
    traceback: object = None,
    *,
    host: object = None,
    runtime_seconds: object = None,
    told_by: str | None = None,
) -> Failure:
    """Make a `Failure` of an exception and its traceback, whatever these are; it never raises.

    Args:
        error: The exception, in most cases. Where it could not be pickled, Celery has another one in its place, which
            knows the name of its class.
        traceback: Its traceback as text, or an object whose `str()` is that text.
        host: The worker that the attempt was on.
        runtime_seconds: How long it ran.
        told_by: Who told.
    """
    wrapped = type(error) is UnpickleableExceptionWrapper
    name = _said(lambda: error.exc_cls_name if wrapped else _class_name(error))  # type: ignore[attr-defined]
    return Failure(
        type=_short(name, most=ERROR_TYPE_CHARACTERS),
        message=bounded(_said(lambda: str(error)), most_bytes=ERROR_MESSAGE_BYTES),
        traceback=_traceback(traceback),
        host=_host(host),
        runtime_seconds=_seconds(runtime_seconds),
        told_by=told_by,
    )


def failure_in(meta: object) -> Failure:
    """Read a `Failure` from what a result backend keeps of a task; it is empty where that knows nothing."""
    kept: dict[Any, Any] = meta if isinstance(meta, dict) else {}
    result, traceback = kept.get("result"), kept.get("traceback")
    if isinstance(result, BaseException):
        return failure_of(result, traceback, host=kept.get("worker"), told_by=RESULT_BACKEND)
    return Failure(traceback=_traceback(traceback))


def as_told(failure: Failure) -> dict[str, Any]:
    """Return a `Failure` as it travels in a message, beside the callback that it is the reason of."""
    told = {
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "host": failure.host,
        "runtime_seconds": failure.runtime_seconds,
    }
    return {name: value for name, value in told.items() if value is not None}


def failure_told(told: object) -> Failure:
    """Read a `Failure` from a message; it is empty where that tells nothing. Anything may stand there."""
    if not isinstance(told, dict):
        return Failure()
    return _failure_in_texts(told.get("type"), told.get("message"), told, told_by=CALLBACK)


def failure_in_event(event: Mapping[str, Any], *, runtime_seconds: float | None = None) -> Failure:
    """Read a `Failure` from a `task-failed` event of Celery's. Anything may stand there.

    The event has the exception's `repr`, and its traceback. The last lines of the traceback say its class and message
    as `str` does; without them they are read from the `repr`.
    """
    shown = event.get("exception")
    shown = shown if isinstance(shown, str) else ""
    traceback = event.get("traceback")
    kind, message = read_repr(shown, traceback if isinstance(traceback, str) else "")
    told = {"traceback": traceback, "host": event.get("hostname"), "runtime_seconds": runtime_seconds}
    return _failure_in_texts(kind, message, told, told_by=EVENT)


def _failure_in_texts(kind: object, message: object, told: Mapping[Any, Any], *, told_by: str) -> Failure:
    failure = Failure(
        type=_short(kind, most=ERROR_TYPE_CHARACTERS) if isinstance(kind, str) and kind else None,
        message=bounded(message, most_bytes=ERROR_MESSAGE_BYTES) if isinstance(message, str) else None,
        traceback=_traceback(told.get("traceback")) if isinstance(told.get("traceback"), str) else None,
        host=_host(told.get("host")),
        runtime_seconds=_seconds(told.get("runtime_seconds")),
        told_by=told_by,
    )
    return failure if failure.is_told else replace(failure, told_by=None)


def _host(given: object) -> str | None:
    return _short(given, most=HOST_CHARACTERS) if isinstance(given, str) and given else None


def _seconds(given: object) -> float | None:
    """Return a duration, in microseconds' precision; None for what is none."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= LONGEST_SECONDS:
        return None
    return round(float(given), 6)


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
    except BaseException as error:  # a handler's `__str__` may raise anything: it would end the process that reports
        return f"{UNTOLD}: to say it raises {_class_name(error)}"


def _class_name(it: object) -> str:
    """Return the name of an object's class; its metaclass may have a `__name__` of its own, which raises."""
    name: str = NAME_OF_CLASS(type(it))
    return name

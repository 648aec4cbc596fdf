"""The class and message of an exception are read from what an event of Celery's shows, as `str` would say them."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.settle.read_repr import read_repr


class Odd(Exception):
    def __repr__(self) -> str:
        return "Strange(…)"


def shown(error: BaseException) -> tuple[str, str]:
    """Show a raised exception as Celery's event does."""
    try:
        raise error
    except BaseException as raised:
        return repr(raised), traceback.format_exc()


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ValueError("no"), ("ValueError", "no")),
        (ValueError(), ("ValueError", "")),
        (KeyError("x"), ("KeyError", "'x'")),
        (OSError(2, "No such file"), ("FileNotFoundError", "[Errno 2] No such file")),
        (ValueError("a\nKeyError: b\n  c"), ("ValueError", "a\nKeyError: b\n  c")),
        (ValueError(shown(KeyError("inner"))[1] + "end"), ("ValueError", shown(KeyError("inner"))[1] + "end")),
        (Odd("said"), ("Odd", "said")),
        (ExceptionGroup("many", [ValueError(1)]), ("ExceptionGroup", "'many', [ValueError(1)]")),
    ],
)
def test_what_the_traceback_ends_with_is_read(error: BaseException, found: tuple[str, str]) -> None:
    assert read_repr(*shown(error)) == found


def test_of_an_exception_that_another_one_caused_the_last_one_is_read() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise RuntimeError("second") from first
    except RuntimeError as error:
        assert read_repr(repr(error), traceback.format_exc()) == ("RuntimeError", "second")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ValueError('no')", ("ValueError", "no")),
        ("ValueError('no',)", ("ValueError", "no")),
        ("shop.Refused(17, 'why')", ("Refused", "17, 'why'")),
        ("UnpickleableExceptionWrapper('shop', 'Refused')", ("UnpickleableExceptionWrapper", "'shop', 'Refused'")),
        ("<Unprintable>", (None, "<Unprintable>")),
        ("", (None, None)),
        ("(" * 100_000, (None, "(" * 65_536)),
        ("E('" + "x" * 100_000 + "')", ("E", "'" + "x" * 65_533)),
    ],
)
def test_without_a_traceback_the_repr_is_read(text: str, found: tuple[str | None, str | None]) -> None:
    assert read_repr(text, "") == found


@given(st.text(), st.text())
def test_any_text_is_read(text: str, other: str) -> None:
    kind, message = read_repr(text, "Traceback (most recent call last):\n" + other)
    assert kind is None or kind
    assert message is None or isinstance(message, str)

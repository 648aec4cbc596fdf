"""The class and message of an exception are read from what an event of Celery's shows, as `str` would say them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.settle import read_repr as module
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


class Counting:
    """A pattern that counts the characters which it looks through."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern, self.characters = pattern, 0

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        found = self._pattern.search(text, start)
        self.characters += (found.end() if found else len(text)) - start
        return found

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.characters += len(text)
        return self._pattern.finditer(text)


@pytest.mark.parametrize("end", ["", "ValueError: no"])
def test_g10_a_traceback_of_thousands_of_headers_is_looked_through_once(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """From each header on to the end of the text, an event of 140 kB took half a minute, and the next ones waited."""
    counting = Counting(module.ENDING)
    monkeypatch.setattr(module, "ENDING", counting)
    text = "Traceback (most recent call last):\n" * 3_000 + end
    assert read_repr("ValueError('no')", text) == ("ValueError", "no")
    assert counting.characters <= 2 * len(text)


@given(
    st.lists(st.sampled_from(["Traceback (most recent call last):\n", "  frame\n", "E: x\n", "shop.F\n", "y", "G: "]))
)
def test_the_end_of_each_header_s_traceback_is_the_first_line_behind_it(parts: list[str]) -> None:
    text = "".join(parts)
    ends = [end for header in module.HEADER.finditer(text) if (end := module.ENDING.search(text, header.end()))]
    kind, message = read_repr("<none>", text)
    if not ends:
        assert (kind, message) == (None, "<none>")
    else:
        assert kind == ends[-1][1].rpartition(".")[2]
        assert message == text[ends[-1].end() :].rstrip("\n")

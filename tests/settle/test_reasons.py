"""Why a handler failed, as text: whatever a handler raises, its outcome can be stored (G10)."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bounds import ERROR_MESSAGE_BYTES, ERROR_TYPE_CHARACTERS, TRACEBACK_BYTES
from bridge.model import Failure
from bridge.settle.reasons import bounded, failure_in, failure_of
from tests.support.properties import EXAMPLES

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.builds(
    lambda text, times: text * times, st.text(st.characters(exclude_categories=()), min_size=1), st.integers(1, 20_000)
)


class Liar(type):
    """A metaclass whose classes do not say their names."""

    @property
    def __name__(cls) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no name")


class Nameless(Exception, metaclass=Liar):
    pass


class Unspeakable(Exception, metaclass=Liar):
    def __str__(self) -> str:
        raise self


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("\x00" + "x" * 1_000_000)


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class Interrupting(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Numeric(Exception):
    def __str__(self) -> Any:
        return json.loads("5")


class Sly(str):
    def encode(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("not today")

    __getitem__ = __len__ = replace = encode


class Deep(Exception):
    def __str__(self) -> str:
        return self.__str__()


NESTED: list[Any] = []
for _ in range(5000):
    NESTED = [NESTED]

OBJECTS = {
    "an empty exception": ValueError(),
    "U+0000": ValueError("wrong file \x00"),
    "half of a pair": ValueError("x \udce9"),
    "a megabyte": ValueError("é" * 1_000_000),
    "a text that raises": Silent(),
    "a text that leaves": Leaving(),
    "a text that interrupts": Interrupting(),
    "a text that is a number": Numeric(),
    "a text without an end": Deep(),
    "a text with methods of its own": ValueError(Sly("a\x00")),
    "a class without a name": Nameless("x"),
    "a text that raises an error of a class without a name": Unspeakable("x"),
    "a class with a long name": type("Eé" * 300, (Exception,), {})("x"),
    "no exception": None,
    "a class": ValueError,
    "very nested": ValueError(NESTED),
    "bytes": ValueError(b"\x00\xff"),
    "missing attributes": BaseException.__new__(KeyError),
    "a group": ExceptionGroup("many\x00", [ValueError("\x00")] * 3),
    "the end of a process": SystemExit("\x00"),
}

TRACEBACKS: dict[str, Any] = {
    "none": None,
    "empty": "",
    "U+0000": "Traceback \x00",
    "with methods of its own": Sly("x\x00"),
    "a number": 5,
    "very nested": NESTED,
    "a text that raises": Silent(),
    "a megabyte": "y" * 1_000_000,
}


def check(failure: Failure) -> None:
    """What is kept is plain text that Postgres takes, within the bounds."""
    for text, most in ((failure.type, ERROR_TYPE_CHARACTERS * 4), (failure.message, ERROR_MESSAGE_BYTES)):
        assert type(text) is str and "\0" not in text and len(text.encode()) <= most
    assert failure.type is not None and len(failure.type) <= ERROR_TYPE_CHARACTERS
    assert failure.traceback is None or (
        "\0" not in failure.traceback and len(failure.traceback.encode()) <= TRACEBACK_BYTES
    )


@pytest.mark.parametrize("error", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("traceback", TRACEBACKS.values(), ids=TRACEBACKS)
def test_g10_any_object_becomes_a_failure_that_can_be_stored(error: object, traceback: object) -> None:
    check(failure_of(error, traceback))
    assert failure_in({"result": error, "traceback": traceback}) == (
        failure_of(error, traceback)
        if isinstance(error, BaseException)
        else Failure(traceback=failure_of(error, traceback).traceback)
    )


@EXAMPLES
@given(ANY_TEXT, ANY_TEXT)
def test_g10_any_text_becomes_one_that_can_be_stored(message: str, traceback: str) -> None:
    failure = failure_of(ValueError(message), traceback)
    check(failure)
    if message.isprintable() and len(message.encode(errors="replace")) < ERROR_MESSAGE_BYTES:
        assert failure.message == message, "a text that needs no care stays as it is"


@EXAMPLES
@given(ANY_TEXT, st.integers(20, 500), st.integers(0, 10))
def test_g10_a_long_text_keeps_its_head_and_its_tail_and_no_character_is_cut(text: str, most: int, tail: int) -> None:
    found = bounded(text, most_bytes=most, tail_bytes=tail)
    whole = text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")
    assert len(found.encode()) <= most
    if len(whole.encode()) <= most and len(text) <= most:
        assert found == whole
    else:
        head, mark, end = found.rpartition(" … ")
        assert mark and whole.startswith(head) and whole.endswith(end)


def test_what_is_written_out_can_be_read() -> None:
    assert failure_of(ValueError("a\0b\udce9c")).message == r"a\x00b\udce9c"


@pytest.mark.parametrize(
    "meta", [None, 5, "x", [], {}, {"result": None}, {"result": {"exc_type": "x"}, "traceback": 7}]
)
def test_g10_a_result_backend_may_keep_anything(meta: object) -> None:
    assert failure_in(meta).message is None


def test_the_limit_of_recursion_is_the_usual_one() -> None:
    assert sys.getrecursionlimit() == 1000, "or the nested examples above are too shallow"

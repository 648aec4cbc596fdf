"""A text with slots, and the same in base64, of which only what changes is encoded for each message. Pure.

Most of a message never changes, and neither does its base64, if what changes takes a multiple of three bytes. JSON
allows spaces between values, so up to two of them behind a value see to that.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from bridge.sender.pieces import Pieces

SHORT_CHARACTERS = 48  # between two slots: to encode so many again costs less than to begin anew
_SPACES = (b"", b"  ", b" ")  # by the rest of a length that is divided by three


class Slot(NamedTuple):
    """A place to fill, and whether a whole JSON value goes in; else it lies in a text, and its quotes around it."""

    name: str
    is_value: bool


class Parts(NamedTuple):
    """What a text is made of: constant texts, of which there is one more than slots, and the slots between them."""

    constants: list[str]
    slots: list[Slot]


class Template:
    """Fills the slots of a text.

    Args:
        parts: The text.
        order: The names of all values, in the order in which they come; the last ones may be missing.
    """

    def __init__(self, parts: Parts, order: Sequence[str]) -> None:
        some = any(parts.constants)
        constants = [constant for constant in parts.constants if constant] if some else [""]
        nth, places = 0, [] if some else [0]  # of one place alone `itemgetter` would not return a tuple
        for constant, slot in zip(parts.constants, [*parts.slots, None], strict=True):
            if constant:
                places.append(nth)
                nth += 1
            if slot is not None:
                places.append(len(constants) + order.index(slot.name))
        self._constants = tuple(constants)
        self._pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(*places)

    def filled(self, values: tuple[str, ...]) -> str:
        """Return the text with these values in its slots; `%` and `format` take three times as long."""
        return "".join(self._pick(self._constants + values))

    def picked(self, values: tuple[str | Pieces, ...]) -> tuple[str | Pieces, ...]:
        """Return the constants and these values in their order, to be put together later."""
        return self._pick(self._constants + values)


def encoded(parts: Parts) -> tuple[Parts, list[Parts]]:
    """Put JSON into base64.

    Returns:
        The text in base64, whose slots are called `0`, `1`, …, and what goes into each, to be filled and given to
        `in_base64`. What changes in the same way is there once.
    """
    statics, runs = [parts.constants[0]], [Parts([""], [parts.slots[0]])]
    for constant, slot in zip(parts.constants[1:], [*parts.slots[1:], None], strict=True):
        if slot is not None and len(constant) <= SHORT_CHARACTERS:
            runs[-1].constants.append(constant)
            runs[-1].slots.append(slot)
            continue
        runs[-1].constants.append("")
        statics.append(constant)
        if slot is not None:
            runs.append(Parts([""], [slot]))
    if not all(_takes_quotes(run, statics, nth) for nth, run in enumerate(runs)):  # not seen of Celery's messages
        return Parts(["", ""], [Slot("0", is_value=False)]), [parts]
    distinct = [run for nth, run in enumerate(runs) if run not in runs[:nth]]
    slots = [Slot(str(distinct.index(run)), is_value=False) for run in runs]
    return Parts([in_base64(text) for text in statics[:-1]] + [_plain_base64(statics[-1])], slots), distinct


def _takes_quotes(run: Parts, statics: list[str], nth: int) -> bool:
    """Move the quotes around a run to it: spaces outside of them mean nothing. Tell whether there are any."""
    if not run.slots[0].is_value:
        if not statics[nth].endswith('"'):
            return False
        statics[nth], run.constants[0] = statics[nth][:-1], '"'
    if not run.slots[-1].is_value:
        if not statics[nth + 1].startswith('"'):
            return False
        statics[nth + 1], run.constants[-1] = statics[nth + 1][1:], '"'
    return True


def in_base64(text: str) -> str:
    """Return a part of a JSON text, which ends between two values, as base64 that more can follow."""
    plain = text.encode()
    return b2a_base64(plain + _SPACES[len(plain) % 3], newline=False).decode("ascii")


def _plain_base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode("ascii")

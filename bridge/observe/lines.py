"""One line in the log for each thing that happened, with its parts as `extra`.

`bridge.happened` says what happened. Lines of one transaction are bounded: after `LINES_AT_ONCE` of a kind, one more
line counts the rest. Trouble has no line here, because `bridge.trouble` has written it; what a pass hands over is told
event by event, by the pump.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from bridge.bounds import LOGGED_CHARACTERS
from bridge.happened import Happening, Kind, observe
from bridge.wording import cleaned, counted, span

logger = logging.getLogger("bridge")

LINES_AT_ONCE = 100  # of one kind, of one transaction: a thousand failures at once are told by some of them


def connect() -> None:
    """Write lines about what happens in this process; once, however often this is called."""
    observe(write_lines)


def write_lines(happenings: Sequence[Happening]) -> None:
    """Write the lines of what happened in one transaction."""
    written: dict[Kind, int] = {}
    for it in happenings:
        found = LINES.get(it.kind)
        if found is None or not logger.isEnabledFor(found[0]):
            continue
        nth = written[it.kind] = written.get(it.kind, 0) + 1
        if nth <= LINES_AT_ONCE:
            logger.log(found[0], "%s", found[1](it), extra=it.extra())
    for kind, number in written.items():
        if number > LINES_AT_ONCE:
            rest = counted(number - LINES_AT_ONCE, "more event is", "more events are")
            logger.log(LINES[kind][0], "%s %s", rest, kind, extra={"happened": kind, "number": number - LINES_AT_ONCE})


def _ready(it: Happening) -> str:
    return f"this worker serves the bridge {it.about!r}, and its pump begins"


def _retried(it: Happening) -> str:
    wait = f"next attempt in {span(it.seconds)}" if it.seconds else "it goes out again at once"
    what = f"{_event(it)} is retried" if it.number == 1 else f"a batch of {it.number:,} events{_first(it)} is retried"
    return f"client {it.client}: {what}, {wait}{_why(it)}"


def _parked(it: Happening) -> str:
    return f"client {it.client}: {_event(it)} is parked{_why(it)} (see `eventbridge parked {it.client}`)"


def _held(it: Happening) -> str:
    return (
        f"client {it.client}: the next events of key {_key(it)} wait until event {it.offset} is redriven or discarded"
    )


def _halted(it: Happening) -> str:
    return f"client {it.client} is halted{_why(it)} (`eventbridge resume {it.client}` tries again)"


def _recalled(it: Happening) -> str:
    number = counted(it.number, "event that was lost goes out again", "events that were lost go out again")
    return f"client {it.client}: {number}{_why(it)}"


def _event(it: Happening) -> str:
    key = f" (key {_key(it)})" if it.key is not None else ""
    attempt = f", attempt {it.attempt}," if it.attempt else ""
    return f"event {it.offset}{key}{attempt}"


def _first(it: Happening) -> str:
    return f", from event {it.offset} on," if it.offset is not None and it.number > 1 else ""


def _key(it: Happening) -> str:
    return cleaned(it.key or "", most=LOGGED_CHARACTERS)


def _why(it: Happening) -> str:
    return f": {cleaned(it.reason, most=LOGGED_CHARACTERS)}" if it.reason else ""


LINES: Mapping[Kind, tuple[int, Callable[[Happening], str]]] = {
    "ready": (logging.INFO, _ready),
    "retried": (logging.INFO, _retried),
    "parked": (logging.WARNING, _parked),
    "held": (logging.WARNING, _held),
    "halted": (logging.ERROR, _halted),
    "recalled": (logging.WARNING, _recalled),
}

"""Read callbacks, and settle what they report: outcomes whose signature is genuine.

A callback is a pair: the task's name, `bridge.commit` or `bridge.fail`, and its arguments, which are client, offset (a
list of offsets for a batch), epoch, attempt and signature. `bridge.settle` carries many such pairs in one message. A
callback that the bridge did not sign changes nothing, and leaves a warning in the log.

Everything here may be forged. So types are checked before anything else is done with a value, and the log shows values
by `reprlib`, which looks only a few levels deep: `repr` of a list that is nested deeply enough raises RecursionError,
and the collector would put the same messages back and read them again for ever.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from bridge.app import Bridge
from bridge.bounds import CLIENT_CHARACTERS
from bridge.contract import COMMIT, FAIL, SETTLE, is_genuine, joined
from bridge.errors import StoreUnavailable
from bridge.model import Failure, Outcome
from bridge.settle.apply import name_of
from bridge.settle.settle import Settled
from bridge.settle.with_reasons import settle_with_reasons
from bridge.wording import counted

logger = logging.getLogger("bridge")

OUTCOMES_AT_ONCE = 10_000  # in one transaction: it holds the locks of its clients meanwhile
LAST_OFFSET, LAST_NUMBER = 2**63 - 1, 2**31 - 1  # of Postgres' bigint and integer

Callback = tuple[str, Sequence[Any]]


def settle_callbacks(bridge: Bridge, callbacks: Iterable[Callback]) -> Settled:
    """Settle what callbacks report, more than 10,000 outcomes in several transactions.

    An outcome that Postgres refuses is a line in the log, and left to the lease of its event.

    Raises:
        StoreUnavailable: some are not settled; settle the same callbacks again, which does no harm.
    """
    total = Settled()
    held: Exception | None = None
    for outcomes in parts_of(outcomes_of(callback, secret=bridge.secret) for callback in one_by_one(callbacks)):
        applied = settle_with_reasons(bridge, outcomes)
        total += applied.settled
        for it in applied.refused:
            logger.error("%s can't be settled, its lease will end: %s", name_of(it.outcome), it.error)
        held = applied.held[0].error if applied.held else held
    if held is not None:
        raise StoreUnavailable(f"some outcomes can't be settled yet: {held}") from held
    return total


def parts_of(reported: Iterable[Sequence[Outcome]]) -> Iterator[list[Outcome]]:
    """Yield the outcomes of callbacks in parts of about 10,000; those of one callback stay together."""
    part: list[Outcome] = []
    for outcomes in reported:
        part += outcomes
        if len(part) >= OUTCOMES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def one_by_one(callbacks: Iterable[Callback]) -> Iterator[Callback]:
    """Yield each callback by itself, also of those that share a message."""
    for task, args in callbacks:
        if task == SETTLE:
            yield from _pairs(args)
        else:
            yield task, args


def outcomes_of(callback: Callback, *, secret: str) -> list[Outcome]:
    """Return what one callback reports: an outcome for each event; a failure has no reason yet."""
    task, args = callback
    found = verified(args, secret=secret)
    return [replace(outcome, failure=Failure()) for outcome in found] if task == FAIL else found


def verified(args: object, *, secret: str) -> list[Outcome]:
    """Return a success for each event of an attempt; none, and a warning in the log, if its signature is wrong."""
    match args:
        case [str(client), int() | [int(), *_] as offset, int(epoch), int(attempt), signature]:
            offsets = tuple(offset) if isinstance(offset, list) else (offset,)
        case _:
            offsets = ()
    if not offsets or not all(isinstance(one, int) for one in offsets) or not _fits(client, offsets, epoch, attempt):
        logger.warning("a callback with malformed arguments is ignored: %s", reprlib.repr(args))
        return []
    if not is_genuine(signature, secret, (client, joined(offsets), epoch, attempt)):
        about = (reprlib.repr(client), reprlib.repr(offset))
        logger.warning("a callback with a wrong signature is ignored: client %s, event %s", *about)
        return []
    batch = offsets if len(offsets) > 1 else ()
    return [
        Outcome(client=client, offset=offset, epoch=epoch, attempt=attempt, batch_offsets=batch) for offset in offsets
    ]


def _fits(client: str, offsets: Sequence[int], *numbers: int) -> bool:
    """Tell whether Postgres has such a name and such numbers at all."""
    return (
        len(client) <= CLIENT_CHARACTERS
        and "\0" not in client
        and client.encode(errors="ignore").decode() == client  # no half of a surrogate pair
        and all(0 <= offset <= LAST_OFFSET for offset in offsets)
        and all(0 <= number <= LAST_NUMBER for number in numbers)
    )


def _pairs(args: Any) -> list[Callback]:
    """Read the pairs of a `bridge.settle`; those that are malformed leave a warning, and cost the others nothing."""
    match args:
        case [[_, *_] as given]:
            wrong = [pair for pair in given if not _is_pair(pair)]
            pairs = [(pair[0], pair[1]) for pair in given if _is_pair(pair)]
        case _:
            wrong, pairs = [args], []
    if wrong:
        number = counted(
            len(wrong),
            "callback with malformed arguments is ignored",
            "callbacks with malformed arguments are ignored",
        )
        logger.warning("%s: %s", number, reprlib.repr(wrong[0]))
    return pairs


def _is_pair(pair: object) -> bool:
    """Tell whether this is a task's name, commit or fail, and anything else; `verified` looks at that."""
    match pair:
        case [str(task), _]:
            return task in (COMMIT, FAIL)
    return False

"""Read callbacks, and settle what they report: outcomes whose signature is genuine.

A callback is a pair: the task's name, `bridge.commit` or `bridge.fail`, and its arguments, which are client, offset (a
list of offsets for a batch), epoch, attempt and signature. `bridge.settle` carries many such pairs in one message. A
callback that the bridge did not sign changes nothing, and the log says once a minute how many of them came.

Everything here may be forged. So types are checked before anything else is done with a value, and the log shows values
by `reprlib`, which looks only a few levels deep: `repr` of a list that is nested deeply enough raises RecursionError,
and the collector would put the same messages back and read them again for ever.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, cast

from bridge.app import Bridge
from bridge.bounds import CLIENT_CHARACTERS
from bridge.contract import COMMIT, FAIL, SETTLE, CallbackArgs, genuine_generation, joined
from bridge.errors import StoreUnavailable
from bridge.model import LAST_NUMBER, LAST_OFFSET, Failure, Outcome
from bridge.settle.apply import name_of
from bridge.settle.reasons import failure_told
from bridge.settle.settle import Settled
from bridge.settle.with_reasons import settle_with_reasons
from bridge.tracing.outcomes import with_traces
from bridge.trouble import Tally
from bridge.wording import counted, said

logger = logging.getLogger("bridge")

malformed, forged = Tally(logger), Tally(logger)  # a flood of them is a line a minute, and not one for each

OUTCOMES_AT_ONCE = 10_000  # in one transaction: it holds the locks of its clients meanwhile

Callback = tuple[str, Sequence[Any]] | tuple[str, Sequence[Any], Any]  # the third: the reason of a failure, untrusted


def settle_callbacks(bridge: Bridge, callbacks: Iterable[Callback], *, trace: Any = None) -> Settled:
    """Settle what callbacks report, more than 10,000 outcomes in several transactions.

    An outcome that Postgres refuses is a line in the log, and left to the lease of its event.

    Args:
        bridge: The store, and the result backend that knows reasons.
        callbacks: In any order.
        trace: The trace that they belong to, as their message says it; see `with_traces`.

    Raises:
        StoreUnavailable: some are not settled; settle the same callbacks again, which does no harm.
    """
    total = Settled()
    held: Exception | None = None
    for outcomes in parts_of(outcomes_of(callback, secret=bridge.secret) for callback in one_by_one(callbacks)):
        applied = settle_with_reasons(bridge, with_traces(outcomes, trace) if trace else outcomes)
        total += applied.settled
        for it in applied.refused:
            logger.error("%s can't be settled, its lease will end: %s", name_of(it.outcome), said(it.error))
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
    for callback in callbacks:
        if callback[0] == SETTLE:
            yield from _pairs(callback[1])
        else:
            yield callback


def outcomes_of(callback: Callback, *, secret: str) -> list[Outcome]:
    """Return what one callback reports: an outcome for each event; a failure with its reason, where that came along."""
    found = verified(callback[1], secret=secret)
    if callback[0] != FAIL:
        return found
    failure = failure_told(callback[2]) if len(callback) > 2 else Failure()
    return [replace(outcome, failure=failure) for outcome in found]


def verified(args: object, *, secret: str) -> list[Outcome]:
    """Return a success for each event of an attempt; none, and a warning in the log, if its signature is wrong."""
    found = _reported(args)
    if found is None:
        malformed.note(1, partial(_say_malformed, args))
        return []
    client, offsets, epoch, attempt, signature = found
    generation = genuine_generation(signature, secret, (client, joined(offsets), epoch, attempt))
    if generation is None:
        forged.note(1, partial(_say_forged, client, offsets))
        return []
    batch = offsets if len(offsets) > 1 else ()
    return [
        Outcome(client=client, offset=offset, epoch=epoch, attempt=attempt, batch_offsets=batch, generation=generation)
        for offset in offsets
    ]


def _say_malformed(first: object, number: int) -> str:
    kind = ("callback with malformed arguments is ignored", "callbacks with malformed arguments are ignored")
    return f"{counted(number, *kind)}: {reprlib.repr(first)}"


def _say_forged(client: str, offsets: tuple[int, ...], number: int) -> str:
    kind = ("callback with a wrong signature is ignored", "callbacks with a wrong signature are ignored")
    return f"{counted(number, *kind)}: client {reprlib.repr(client)}, events {reprlib.repr(offsets)}"


def _reported(args: object) -> tuple[str, tuple[int, ...], int, int, object] | None:
    """Return client, offsets, epoch, attempt and signature; None unless all are of the right type, and fit Postgres.

    Written for speed, because it runs once for each callback: a `match` on the same types takes ten times as long.
    """
    if not isinstance(args, list | tuple) or len(args) != len(CallbackArgs._fields):
        return None
    client, offset, epoch, attempt, signature = args
    offsets = tuple(offset) if type(offset) is list else (offset,)
    if type(client) is not str or not offsets or {*map(type, offsets), type(epoch), type(attempt)} != {int}:
        return None
    fits = (
        min(offsets) >= 0 and max(offsets) <= LAST_OFFSET and 0 <= epoch <= LAST_NUMBER and 0 <= attempt <= LAST_NUMBER
    )
    if not fits or len(client) > CLIENT_CHARACTERS or not _is_storable(client):
        return None
    return client, offsets, epoch, attempt, signature


@lru_cache(maxsize=1000)
def _is_storable(client: str) -> bool:
    """Tell whether Postgres has such a text at all: without U+0000, and without half of a surrogate pair."""
    return "\0" not in client and client.encode(errors="ignore").decode() == client


def _pairs(args: Any) -> list[Callback]:
    """Read the pairs of a `bridge.settle`; those that are malformed leave a warning, and cost the others nothing."""
    match args:
        case [[_, *_] as given]:
            wrong = [pair for pair in given if not _is_pair(pair)]
            pairs = [cast("Callback", tuple(pair)) for pair in given if _is_pair(pair)]
        case _:
            wrong, pairs = [args], []
    if wrong:
        malformed.note(len(wrong), partial(_say_malformed, wrong[0]))
    return pairs


def _is_pair(pair: object) -> bool:
    """Tell whether this is a task's name, commit or fail, and anything else; `verified` looks at that.

    A failure may have its reason as a third.
    """
    match pair:
        case [str(task), _] | [str(task), _, _]:
            return task in (COMMIT, FAIL)
    return False

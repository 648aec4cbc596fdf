"""Check G10: one bad thing harms only itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.torture.weather import Lock

UNDELIVERABLE = "undeliverable"
STANDSTILLS = 3  # locks in which the other clients did nothing: one or two may fall together with a kill


def isolated(
    client: str, *, events: Iterable[Any], parked: dict[int, Any], started: set[int], locks: Sequence[Lock]
) -> Iterator[tuple[str, str, list[int]]]:
    """Yield a guarantee, what was broken, and the offsets that it is about.

    Args:
        client: Its id.
        events: The events that it wants; `odd` says whether nobody could read them.
        parked: Its parked events, by offset.
        started: Offsets that its handler began.
        locks: The locks on clients' rows.
    """
    odd = {row.offset for row in events if row.odd}
    fine = {row.offset for row in events if not row.odd}
    aside = {offset for offset, row in parked.items() if row.reason.startswith(UNDELIVERABLE)}
    yield "G10 set aside", "what nobody can read was not set aside", sorted(odd - aside)
    yield "G10 set aside", "what nobody can read was handed to a handler", sorted(odd & started)
    yield "G10 neighbours", "what can be read was set aside as undeliverable", sorted(fine & aside)
    still = [nth for nth, lock in enumerate(locks) if lock.open and not lock.finished]
    if len(still) >= STANDSTILLS and locks[still[-1]].client == client:  # said once, not for each client
        yield "G10 locks", "nobody else was served while its row, or another client's, was locked", still

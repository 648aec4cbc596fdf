"""New events of a client, slice by slice: the next one is on its way from Postgres while the caller sends this one."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection

from bridge.bounds import BATCH_BYTES
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.pump.portions import holds_large, portions
from bridge.pump.stopping import is_stopping
from bridge.store import handover
from bridge.store.tally import Tally

SLICE_EVENTS = 1000  # of the usual slice: the round trip does not count, and the rows fit into the processor's cache
LONGEST_LOOK_EVENTS = 10_000  # that one pass looks at where few events match or many of them wait
RARE_ONE_IN_EVENTS = 250  # where fewer than one event in so many goes out, the next one may be far away: leap to it


class Slices:
    """The events that can go out of the log next; iterating hands them over.

    Args:
        connection: In a transaction that holds the client; nothing else may use it until the iteration ends.
        client: Whose events.
        horizon: The last event that may be looked at.
        room: Most events to hand over.
        batch_bytes: Most that is fetched at once of large events.

    Attributes:
        upto: How far the log was looked through.
        taken: How many events were handed over.
        tally: The same, with the sum of their offsets.
        refused: Those among them that can't be sent.
    """

    def __init__(
        self, connection: Connection, client: Client, *, horizon: int, room: int, batch_bytes: int = BATCH_BYTES
    ) -> None:
        self.refused: list[Undeliverable] = []
        self._batch_bytes = batch_bytes
        self.upto = client.dispatched
        self.taken = 0
        self.tally = Tally()
        self._connection = connection
        self._client = client
        self._horizon = horizon
        self._room = room

    def __iter__(self) -> Generator[list[Delivery], None, None]:
        """Yield the deliveries of each slice, or portion of one, in the order of their offsets, never an empty list.

        With several slices to come, one is fetched ahead, unless there are large events in this one. A caller that
        stops early must close the iterator: the thread that fetches ahead uses the connection until then.
        """
        slices = self._slices()
        several = min(self._room, self._horizon - self.upto) > SLICE_EVENTS  # a thread costs half a millisecond
        return _ahead(slices) if several else slices

    def _slices(self) -> Generator[list[Delivery], None, None]:
        """Look further each time that too few events could go out, and leap to the next one where they are rare."""
        looked, wider = 0, 1
        while (
            (room := self._room - self.taken) > 0
            and self.upto < self._horizon
            and looked < max(LONGEST_LOOK_EVENTS, self._room)
            and not is_stopping()
        ):
            before, size = self.upto, min(self._usual(), self._room) * wider
            found, self.upto = handover.hand_over_new(
                self._connection, self._client, after=before, horizon=self._horizon, slice=size, room=room
            )
            self.taken += len(found)
            self.tally += Tally.of(it.offset for it in found)
            looked += self.upto - before
            wider = 1 if 2 * len(found) >= size else wider * 4
            yield from portions(self._connection, self._client, found, self.refused, most_bytes=self._batch_bytes)
            if self.upto < self._horizon and self.upto - before >= RARE_ONE_IN_EVENTS * max(1, len(found)):
                wider = 1 if self._leap() else wider

    def _leap(self) -> bool:
        """Move to right before the next event that matches; tell whether it is known where that is."""
        before = self.upto
        self.upto = handover.leap(self._connection, self._client, after=before, horizon=self._horizon)
        return self.upto > before

    def _usual(self) -> int:
        """Return how many events the next slice has, in whole batches.

        A slice looks at the keys of all deliveries before it, so slices grow: after 10,000 events they have 5,000 each.
        """
        batch = self._client.batch
        return max(max(SLICE_EVENTS, self.taken // 2) // batch, 1) * batch


def _ahead(slices: Generator[list[Delivery], None, None]) -> Generator[list[Delivery], None, None]:
    """Fetch the next slice in a thread while the caller is busy with this one."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge-slices") as thread:
        coming = thread.submit(next, slices, None)
        while (found := coming.result()) is not None:
            if holds_large(found):  # two portions would take twice the memory
                yield found
                coming = thread.submit(next, slices, None)
            else:
                coming = thread.submit(next, slices, None)
                yield found

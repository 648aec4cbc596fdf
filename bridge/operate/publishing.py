"""The verbs that write events, and that see to those which are scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, overload

from bridge.errors import UsageError
from bridge.event import Key, Scheduled
from bridge.log.publish import publish
from bridge.operate.publish_lines import publish_lines
from bridge.operate.viewer import Viewer
from bridge.store.journal import WHOLE_LOG, note
from bridge.store.scheduled import ScheduledEvent, cancel_scheduled, list_scheduled

MOST_NOTED = 100  # numbers of cancelled events in one entry of the journal


class Publisher(Viewer):
    """The part of `Operator` that publishes."""

    by: str

    @overload
    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key | None = None,
        headers: Mapping[str, Any] | None = None,
        id: Key | None = None,
    ) -> int: ...
    @overload
    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key | None = None,
        headers: Mapping[str, Any] | None = None,
        id: Key | None = None,
        deliver_after: timedelta | float | None,
        deliver_at: datetime | None = None,
    ) -> int | Scheduled: ...
    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key | None = None,
        headers: Mapping[str, Any] | None = None,
        id: Key | None = None,
        deliver_after: timedelta | float | None = None,
        deliver_at: datetime | None = None,
    ) -> int | Scheduled:
        """Append one event in a transaction of its own, and return its offset; all is as for `bridge.publish`.

        Raises:
            InvalidEvent: the event can't be stored.
            IdTaken: the id is that of an event with another topic.
        """
        more: dict[str, Any] = {"deliver_after": deliver_after, "deliver_at": deliver_at}
        with self._store.transaction() as connection:
            found: int | Scheduled = publish(connection, topic, payload, key=key, headers=headers, id=id, **more)
            return found

    def publish_lines(self, lines: Iterable[bytes], *, name: str = "input") -> list[int]:
        """Append the events in these lines of JSON, all or none, and return their offsets.

        Args:
            lines: JSON objects with topic, and optionally payload, key, headers and id, as `tail --json` prints them.
            name: What to call the lines in a message, such as the file's name.

        Raises:
            InvalidEvent: a line holds no event that can be stored; the message says which.
        """
        with self._store.transaction() as connection:
            return list(publish_lines(connection, lines, name=name))

    def scheduled(self, *, most: int = 100) -> list[ScheduledEvent]:
        """List the events that are scheduled, at most `most`, the one that is due next first."""
        return list_scheduled(self._store, most=most)

    def cancel_scheduled(self, numbers: Sequence[int] = (), *, ids: Sequence[Key] = ()) -> list[int]:
        """Cancel scheduled events by their numbers or ids: they are never appended to the log.

        Returns:
            The numbers of those that were scheduled still, in order.

        Raises:
            UsageError: neither a number nor an id is given.
        """
        if not numbers and not ids:
            raise UsageError("say which scheduled events to cancel: by their numbers or their ids")
        texts = [str(id) for id in ids]
        with self._store.transaction() as connection:
            gone = cancel_scheduled(connection, numbers=numbers, ids=texts)
            if gone:
                details = {"events": len(gone), "numbers": gone[:MOST_NOTED]}
                note(connection, WHOLE_LOG, "cancel", by=self.by, details=details)
        return gone

"""What was published in a test, as a sequence that looks into the log each time it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from bridge.testing.events import PublishedEvent
from bridge.testing.recording import Recording

MOST_SHOWN = 20


class Published(Sequence[PublishedEvent]):
    """The events of a recording. `published("order.*")` are those with such topics."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __call__(self, *topics: str) -> list[PublishedEvent]:
        """Return those of which a topic pattern matches."""
        return self._recording.published(*topics)

    async def aread(self, *topics: str) -> list[PublishedEvent]:
        """Return the same where the test's connection is asynchronous."""
        return await self._recording.apublished(*topics)

    @property
    def topics(self) -> list[str]:
        """The topics of all, in order."""
        return [event.topic for event in self]

    def __len__(self) -> int:
        return len(self._recording.published())

    @overload
    def __getitem__(self, index: int) -> PublishedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[PublishedEvent]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._recording.published()[index]

    def __iter__(self) -> Iterator[PublishedEvent]:
        return iter(self._recording.published())

    def __repr__(self) -> str:
        events = list(self)
        more = f", and {len(events) - MOST_SHOWN:,} more" if len(events) > MOST_SHOWN else ""
        return f"<published: {', '.join(map(repr, events[:MOST_SHOWN])) or 'nothing'}{more}>"

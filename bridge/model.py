"""The nouns: a registered client, a delivery to it and its outcome, a place in the log, a registration.

They are values only. A client out of storage (`Client`) is another type than one that goes in (`Registration`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from bridge.errors import InvalidClient, UsageError
from bridge.settings.amount import seconds_of
from bridge.settings.client import DEFAULT_BRIDGE, SETTINGS, ClientSettings, check

ROLES = ("fq_publisher", "fq_bridge", "fq_operator", "fq_monitor")  # of Postgres, that `migrate --roles` makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientSettings):
    """A registered client, as a pass has locked it: its settings, and where it stands.

    Attributes:
        offset: Committed cursor: everything up to it is finished for this client; -1 where nothing is.
        dispatched: How far the log was handed over.
        epoch: The client's epoch number, from 1; outcomes of an older one are ignored.
        generation: The log's generation, from 1; so are outcomes of an older one.
        filter: `topics` as one regular expression, which is matched with '.' + topic.
        state: `active`, or `draining`: nothing new is handed over.
        counted_after: Where its ledger begins, which counts the events above.
    """

    offset: int
    dispatched: int
    epoch: int
    generation: int
    filter: str
    state: str
    counted_after: int = -1


UNTRACED: Mapping[str, str] = {}


class Delivery(NamedTuple):
    """An event on its way to one client, as a message needs it. A tuple, because there are many and tuples are cheap.

    Attributes:
        attempt: How many times it was handed over, this time included.
        body: The event as JSON text, in the shape that the client's `call` asks for. That of a large event is empty
            until it is fetched, and then it is in UTF-8: as a text, it might take four times as many bytes.
        part: Of a batch that failed, the first offset of the half that goes out together; None for any other delivery.
        trace: Trace context from the event's headers: W3C's and Sentry's, by the names of `tracing.context`.
        headers: Headers of its message that come from the event's own, by the names that they have there: those that
            the client wants, and those of other tracers.
        key: The event's.
    """

    client: Client
    offset: int
    epoch: int
    attempt: int
    topic: str
    body: str | bytearray
    part: int | None = None
    trace: Mapping[str, str] = UNTRACED
    headers: Mapping[str, str] = UNTRACED
    key: str | None = None

    @property
    def task_id(self) -> str:
        """The Celery task id of this attempt; a batch has the id of its first event."""
        return task_id(self.client.id, self.offset, self.epoch, self.attempt)


def task_id(client: str, offset: int | str, epoch: int, attempt: int) -> str:
    """Return the Celery task id of an attempt, such as `billing:17`, or `billing:17:e2:a3` for epoch 2 and attempt 3.

    Each attempt has another id, because a worker on which one was revoked would drop every later message of that id.
    """
    return f"{client}:{offset}" + (f":e{epoch}" if epoch > 1 else "") + (f":a{attempt}" if attempt > 1 else "")


class Attempt(NamedTuple):
    """Which attempt at which event, as a task id names it."""

    client: str
    offset: int
    epoch: int
    attempt: int


TASK_ID = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,99}):(\d{1,19})(?::e(\d{1,10}))?(?::a(\d{1,10}))?", re.ASCII)
LAST_OFFSET, LAST_NUMBER = 2**63 - 1, 2**31 - 1  # of Postgres' bigint and integer


def attempt_in(id: object) -> Attempt | None:
    """Return what a task id names; None for one that no attempt has."""
    if not isinstance(id, str) or (found := TASK_ID.fullmatch(id)) is None:
        return None
    client, offset, epoch, attempt = found.groups()
    named = Attempt(client, int(offset), int(epoch or 1), int(attempt or 1))
    fits = named.offset <= LAST_OFFSET and named.epoch <= LAST_NUMBER and named.attempt <= LAST_NUMBER
    return named if fits and task_id(*named) == id else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as far as that can be known from outside the fleet.

    Attributes:
        type: Name of the exception's class.
        message: The exception as text.
        traceback: Its traceback as text.
        host: The worker that it was on, such as `celery@machine`.
        runtime_seconds: How long the attempt ran.
        told_by: Who told: `callback`, `worker`, `event` or `result backend`.
    """

    type: str | None = None
    message: str | None = None
    traceback: str | None = None
    host: str | None = None
    runtime_seconds: float | None = None
    told_by: str | None = field(default=None, compare=False)

    @property
    def is_told(self) -> bool:
        """Whether anything says why."""
        return self.type is not None or self.message is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt at one event: success or failure.

    Attributes:
        failure: Why it failed; None for a success.
        batch_offsets: The offsets of the batch that it was part of, its own among them; empty for a single event.
        generation: The log's generation when it was handed over; None for one that was found in the log itself.
        trace: The `traceparent` that its report came with; None where it had none.
    """

    client: str
    offset: int
    epoch: int
    attempt: int
    failure: Failure | None = None
    batch_offsets: tuple[int, ...] = ()
    generation: int | None = None
    trace: str | None = field(default=None, compare=False)


def task_id_of(outcome: Outcome) -> str:
    """Return the id of the task that an outcome is of; a batch has the id of its first event."""
    first = outcome.batch_offsets[0] if outcome.batch_offsets else outcome.offset
    return task_id(outcome.client, first, outcome.epoch, outcome.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the log. At most one field is set; where none is, it is the beginning.

    Attributes:
        end: Behind the last event that is final.
        offset: Behind this event: the first that is delivered is the next one.
        since: Before the first event that was written at or after this time.
        ago_seconds: The same of the time that was so long ago, by the clock of Postgres, which dates the events.
    """

    end: bool = False
    offset: int | None = None
    since: datetime | None = None
    ago_seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `beginning`, `now` (or `end`), an offset, a timestamp (UTC where it names no zone), or a span ago.

        Raises:
            UsageError: it is none of these.
        """
        if text == "beginning":
            return cls()
        if text in ("now", "end"):
            return cls(end=True)
        if re.fullmatch(r"-1|\d{1,18}", text):
            return cls(offset=int(text))
        if (since := moment_of(text)) is not None:
            return cls(since=since)
        try:
            return cls(ago_seconds=seconds_of(text))
        except ValueError:
            raise UsageError(
                f"position {text!r} is not one of: beginning, now (or end), an offset such as 1200, "
                "a timestamp such as 2026-01-31T12:00:00+00:00, or a span such as 2h, which is so long ago"
            ) from None


def moment_of(text: str) -> datetime | None:
    """Read a moment in ISO 8601, which is UTC where it names no zone; None if it is none."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client as code or a command line declares it: only the settings that were given; the rest stay as they are.

    Attributes:
        given: Names of `ClientSettings` and their values; `task` may be missing where the client exists.
        start: Where a new client begins; an existing one keeps its cursor.
        defaults: Settings of a new client that are not given: what the app that declares it has for its task.
        declared_by: The app whose code declares it; None where a person registers it.

    Raises:
        InvalidClient: a setting is unknown or out of range, or two that are given contradict each other.
    """

    id: str
    given: Mapping[str, Any]
    start: Position = Position()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    declared_by: str | None = None

    def __post_init__(self) -> None:
        check(self.id, self.given)
        object.__setattr__(self, "given", {name: SETTINGS[name].frozen(value) for name, value in self.given.items()})

    def applied_to(self, before: ClientSettings | None, *, bridge: str = DEFAULT_BRIDGE) -> ClientSettings:
        """Return the client's settings after this registration, checked; a new client is this bridge's by default.

        Raises:
            InvalidClient: a setting that is given contradicts one that is kept, or there is no task to call.
        """
        kept = {name: getattr(before, name) for name in SETTINGS} if before else {**self.defaults, "bridge": bridge}
        if not before and "task" not in self.given:
            raise InvalidClient(f"client {self.id!r} is new: say which task it calls (--task NAME)")
        return ClientSettings(id=self.id, **{**kept, **self.given})

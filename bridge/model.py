"""The nouns: what the log, its clients and their deliveries look like in Python.

Values only. What comes out of storage (`Client`, `Delivery`) is another type than what goes in (`ClientSettings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self

from bridge.errors import InvalidClient, UsageError

Ordering = Literal["key", "none", "strict"]
Call = Literal["event", "payload", "kwargs"]
OnExhausted = Literal["park", "hold-key", "halt"]
BatchAs = Literal["list", "calls"]
ReportBy = Literal["callback", "in-process"]

CLIENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
WORD = r"[^.*#\s\x00\ud800-\udfff]+"
TOPIC = re.compile(rf"{WORD}(\.{WORD})*", re.ASCII)
TOPIC_PATTERN = re.compile(rf"(\*|#|{WORD})(\.(\*|#|{WORD}))*", re.ASCII)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "ordering": ("key", "none", "strict"),
    "call": ("event", "payload", "kwargs"),
    "on_exhausted": ("park", "hold-key", "halt"),
    "batch_as": ("list", "calls"),
    "report_by": ("callback", "in-process"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client asks for; checked when it is made.

    Attributes:
        id: Name of the client: letters, digits, `_`, `-` and `.`, at most 100.
        task: Name of the Celery task that gets its events.
        routes: Pairs of topic pattern and task name; the first that matches goes before `task`.
        queue: Queue of the fleet that runs the task.
        topics: AMQP topic patterns; an event is delivered if one of them matches.
        ordering: `key`: one open event per key; `strict`: one open event; `none`: no order.
        window: Most deliveries open at once (events, at least 1).
        call: What the task is called with: the whole event, its payload, or the payload's fields as keywords.
        serializer: kombu serializer of the delivered messages.
        ack_timeout_seconds: How long a delivery may stay unanswered before it is handed over again.
        max_attempts: Attempts before the event is set aside (at least 1).
        backoff_seconds: Wait before the second attempt; it doubles with every further one, with full jitter.
        backoff_max_seconds: Longest wait between two attempts.
        on_exhausted: What happens after the last attempt: park the event, hold its key too, or halt the client.
        batch: Most events of one message; above 1 the task gets a list, or is called for each in turn.
        batch_wait_ms: How long a batch that is not full may wait for more, in milliseconds.
        batch_as: How a task gets a batch: as one `list`, or in `calls`, one for each event, so that any handler can.
        report_by: Who reports outcomes: the task's callbacks, or the fleet's own worker (`in-process`), which then
        needs
            this package and access to Postgres.
    """

    id: str
    task: str
    routes: tuple[tuple[str, str], ...] = ()
    queue: str = "celery"
    topics: tuple[str, ...] = ("#",)
    ordering: Ordering = "key"
    window: int = 1000
    call: Call = "event"
    serializer: str = "json"
    ack_timeout_seconds: float = 3600
    max_attempts: int = 5
    backoff_seconds: float = 1
    backoff_max_seconds: float = 600
    on_exhausted: OnExhausted = "park"
    batch: int = 1
    batch_wait_ms: int = 0
    batch_as: BatchAs = "list"
    report_by: ReportBy = "callback"

    def __post_init__(self) -> None:
        if not CLIENT_ID.fullmatch(self.id):
            raise InvalidClient(
                f"client id {self.id!r} is not usable: letters, digits, '_', '-' and '.', at most 100, "
                "beginning with a letter, a digit or '_'"
            )
        for name in ("task", "queue", "serializer"):
            if not getattr(self, name):
                raise InvalidClient(f"client {self.id!r} needs a {name}")
        if isinstance(self.topics, str) or not self.topics:
            raise InvalidClient(
                f"client {self.id!r}: topics is a list of patterns such as 'order.*' or '#', not {self.topics!r}"
            )
        for pattern in (*self.topics, *(pattern for pattern, _ in self.routes)):
            if not TOPIC_PATTERN.fullmatch(pattern):
                raise InvalidClient(
                    f"client {self.id!r}: topic pattern {pattern!r} is malformed: "
                    "dotted words, '*' for exactly one word, '#' for any number of words, as in 'order.*' or 'order.#'"
                )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InvalidClient(
                    f"client {self.id!r}: {name} is {getattr(self, name)!r}, must be one of {', '.join(allowed)}"
                )
        for name, least in LEAST.items():
            value, whole = getattr(self, name), name in WHOLE
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else int | float)
                or not least <= value <= LARGEST_SETTING
            ):
                kind = "a whole number" if whole else "a number"
                raise InvalidClient(
                    f"client {self.id!r}: {name} is {value!r}, must be {kind} from {least} to {LARGEST_SETTING}"
                )
        if self.batch > 1 and self.call == "kwargs":
            raise InvalidClient(f"client {self.id!r}: a batch has no keyword arguments: use call event or payload")
        if not self.ack_timeout_seconds > 0:
            raise InvalidClient(
                f"client {self.id!r}: ack_timeout_seconds is {self.ack_timeout_seconds!r}, must be above 0"
            )


LEAST: Mapping[str, int] = {
    "window": 1,
    "max_attempts": 1,
    "backoff_seconds": 0,
    "backoff_max_seconds": 0,
    "ack_timeout_seconds": 0,
    "batch": 1,
    "batch_wait_ms": 0,
}
WHOLE = frozenset({"window", "max_attempts", "batch", "batch_wait_ms"})
LARGEST_SETTING = 2_000_000_000
SETTING_NAMES = tuple(f.name for f in fields(ClientSettings) if f.name != "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientSettings):
    """A registered client as the pump locked it.

    Attributes:
        offset: Committed cursor: everything up to it is done for this client.
        dispatched: How far the log was handed over.
        epoch: The client's generation; outcomes of an older one are ignored.
        filter: `topics` as one regular expression over '.' + topic.
        state: `active`, or `draining`: nothing new is handed over.
    """

    offset: int
    dispatched: int
    epoch: int
    filter: str
    state: str


UNTRACED: Mapping[str, str] = {}


class Delivery(NamedTuple):
    """An event on its way to one client: what a message is made of. A tuple, because there are many.

    Attributes:
        body: The event as JSON text, in the shape that the client's `call` asks for.
        part: Of a batch that failed, the first offset of the part that goes out together. None for any other.
        trace: W3C trace context from the event's headers (`traceparent`, `tracestate`).
    """

    client: Client
    offset: int
    epoch: int
    attempt: int
    topic: str
    body: str
    part: int | None = None
    trace: Mapping[str, str] = UNTRACED

    @property
    def task_id(self) -> str:
        """The Celery task id of this attempt; a batch has that of its first event."""
        return task_id(self.client.id, self.offset, self.epoch, self.attempt)


def task_id(client: str, offset: int, epoch: int, attempt: int) -> str:
    """`client:offset`, with epoch and attempt where above the first: an id that was revoked stays revoked."""
    return f"{client}:{offset}" + (f":e{epoch}" if epoch > 1 else "") + (f":a{attempt}" if attempt > 1 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as far as it can be known from outside the fleet."""

    type: str | None = None
    message: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a callback reports of one attempt.

    Attributes:
        failure: Why it failed; None for a success.
        batch_offsets: The offsets of the batch that was reported together, itself among them; empty for a single event.
    """

    client: str
    offset: int
    epoch: int
    attempt: int
    failure: Failure | None = None
    batch_offsets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the log: exactly one of the fields says which; none is the beginning."""

    end: bool = False
    offset: int | None = None
    since: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `beginning`, `now` (or `end`), an offset, or an ISO 8601 timestamp (UTC where it names no zone).

        Raises:
            UsageError: it is none of these.
        """
        if text == "beginning":
            return cls()
        if text in ("now", "end"):
            return cls(end=True)
        if re.fullmatch(r"-1|\d{1,18}", text):
            return cls(offset=int(text))
        try:
            since = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"position {text!r} is not one of: beginning, now, an offset such as 1200, "
                "a timestamp such as 2026-01-31T12:00:00+00:00"
            ) from None
        return cls(since=since if since.tzinfo else since.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client as code or a command line declares it: only what was said, so that the rest stays as it is.

    Attributes:
        given: Names of `ClientSettings` and their values; `task` may be missing where the client exists.
        start: Where a new client begins; an existing one keeps its cursor.
    """

    id: str
    given: Mapping[str, Any]
    start: Position = Position()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.given) - set(SETTING_NAMES))
        if unknown:
            raise InvalidClient(
                f"client {self.id!r} has no setting {unknown[0]!r}: there are {', '.join(SETTING_NAMES)}"
            )
        self.applied_to(None if "task" in self.given else ClientSettings(id=self.id, task="unknown"))

    def applied_to(self, before: ClientSettings | None) -> ClientSettings:
        """The client's settings after this registration, checked.

        Raises:
            InvalidClient: a value is out of range, or there is no task to call.
        """
        kept = {name: getattr(before, name) for name in SETTING_NAMES} if before else {}
        if not before and "task" not in self.given:
            raise InvalidClient(f"client {self.id!r} is new: say which task it calls (--task NAME)")
        return ClientSettings(id=self.id, **{**kept, **self.given})

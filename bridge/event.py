"""Events as users see them: before storage (`NewEvent`), and as a handler gets them (`Event`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypedDict
from uuid import UUID


class Modelled(Protocol):
    """A pydantic model."""

    @property
    def model_dump(self) -> Any:
        """Turn it into a dict."""


class AttrsInstance(Protocol):
    """An instance of a class that attrs made."""

    __attrs_attrs__: ClassVar[Any]


class DataclassInstance(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


# What JSON can hold, and what becomes JSON when it is published. Values inside are not checked by type: one that is
# neither is refused when it is published.
Scalar: TypeAlias = str | int | float | bool | Decimal | date | time | UUID | Enum | None
Json: TypeAlias = (
    Mapping[str, Any] | list[Any] | tuple[Any, ...] | Scalar | Modelled | AttrsInstance | DataclassInstance
)


Key: TypeAlias = str | int | UUID  # an int and a UUID become text


class NewEvent(NamedTuple):
    """An event before storage, for `publish_many`.

    Attributes:
        topic: Dotted words, such as `order.created`; at most 255 characters.
        payload: Anything that is JSON; at most 200 levels deep, and 32 MiB.
        key: Events of one key reach a client in order, one at a time; None if no order is needed. At most 512
            characters; of an int its digits, of a UUID its 36 characters.
        headers: A JSON object that travels with the event, for example a W3C `traceparent`; None is an empty one. At
            most 64 KiB.
        id: What names the event to its publisher: of one id only one event is ever stored. None where no such promise
            is needed. At most 512 characters; of an int its digits, of a UUID its 36 characters.
    """

    topic: str
    payload: Json
    key: Key | None = None
    headers: Mapping[str, Any] | None = None
    id: Key | None = None


NewEventTuple: TypeAlias = (
    tuple[str, Json] | tuple[str, Json, Key | None] | tuple[str, Json, Key | None, Mapping[str, Any] | None]
)


class Scheduled(NamedTuple):
    """An event that is appended to the log later.

    Attributes:
        number: Its number, by which it can be cancelled; None where it is in the log already.
        due_at: When it is appended, by the clock of Postgres; None likewise.
        offset: Where an event with its id is in the log already: that event's offset.
    """

    number: int | None
    due_at: datetime | None
    offset: int | None


class Event(TypedDict):
    """An event as a task gets it, where its client's setting `call` is `event`.

    ::

        @bridge.client("billing", topics=["order.*"])
        @app.task
        def bill(event: bridge.Event) -> None: ...

    With a setting `batch` above 1 and `batch_as` of `list` the task gets `list[bridge.Event]`.

    Attributes:
        offset: The event's place in the log, from 1; a higher one may have been committed before it.
        generation: The age of the log in which it was written, from 1. After a restore of the database the log may give
            an offset to another event, which then has another generation. `client`, `generation` and `offset` are the
            same for every attempt, and name no other event: they are an idempotency key.
        topic: Dotted words, such as `order.created`.
        key: The ordering key; None if the event has none.
        payload: What was published, as JSON gives it back: tuples are lists, keys of objects are text. An event of
            which Celery's JSON would make something else is parked instead.
        headers: What was published beside it; empty if nothing was.
        created_at: When the event was written: ISO 8601 in UTC with six decimals of a second,
            as in `2026-01-31T12:00:00.000000+00:00`. Read it with `datetime.fromisoformat`.
        client: Id of the client that gets it.
        attempt: How many times it was handed over to this client, this time included: 1 for the first.
        epoch: The client's epoch when it was handed over: each `seek` and each replay begins another one.
    """

    offset: int
    generation: int
    topic: str
    key: str | None
    payload: Any
    headers: dict[str, Any]
    created_at: str
    client: str
    attempt: int
    epoch: int

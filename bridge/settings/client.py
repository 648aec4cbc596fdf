"""A client's settings: their names, types, defaults, ranges and help texts are decided here.

The columns of `fq.clients`, the arguments of `bridge.client` and the docs have copies, and tests hold them to the
fields. CONTRIBUTING.md lists all the places that a new setting needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from bridge.bounds import QUEUE_BYTES
from bridge.errors import InvalidClient
from bridge.settings.amount import rate_of
from bridge.settings.setting import About, Setting, settings_of

Ordering = Literal["key", "none", "strict"]
Call = Literal["event", "payload", "kwargs", "cloudevent"]
OnExhausted = Literal["park", "hold-key", "halt"]
BatchAs = Literal["list", "calls"]
ReportBy = Literal["callback", "in-process"]

# What Celery's users may look for, and why a client has none.
REFUSED: Mapping[str, str] = {
    "expires": "an expired message is never answered, so its event would go out again at the end of its lease, and be "
    "parked after its last attempt; let the handler look at the event's `created_at`",
    "countdown": "an event goes out when it can; publish it later, or let the handler wait",
    "eta": "an event goes out when it can; publish it later, or let the handler wait",
    "time_limit": "it is called time_limit_seconds",
    "soft_time_limit": "it is called soft_time_limit_seconds",
    "rate_limit": "it is called rate",
}

DEFAULT_BRIDGE = "bridge"  # as the default of `bridge_queue`
CLIENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def _name_of_queue(text: str) -> str:
    """Return the name of a queue that every broker can have.

    Raises:
        ValueError: none can be called so.
    """
    if len(text.encode("utf-8", "surrogatepass")) > QUEUE_BYTES:
        raise ValueError(f"must have at most {QUEUE_BYTES} bytes: RabbitMQ has no queues with longer names")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client asks for, every setting with its value; checked when it is made.

    Attributes:
        id: Name of the client: letters, digits, `_`, `-` and `.`, at most 100.

    Raises:
        InvalidClient: a value is out of range, or two settings contradict each other.
    """

    id: str
    task: Annotated[str, About("Name of the Celery task that gets the client's events.")]
    bridge: Annotated[str, About("Name of the bridge that serves the client: the `bridge_queue` of its app.")] = (
        DEFAULT_BRIDGE
    )
    routes: Annotated[
        tuple[tuple[str, str], ...],
        About("Topic patterns with a task of their own; the first that matches an event decides."),
    ] = ()
    queue: Annotated[str, About("Queue of the workers that run the task.", read=_name_of_queue)] = "celery"
    topics: Annotated[
        tuple[str, ...],
        About("Topic patterns, one of which must match: `*` is one word, `#` any number of words."),
    ] = ("#",)
    ordering: Annotated[
        Ordering,
        About("`key`: one open event for each key; `strict`: one open event; `none`: any order."),
    ] = "key"
    window: Annotated[int, About("Most deliveries open at once: handed over and not finished.", least=1)] = 1000
    call: Annotated[
        Call,
        About("Call the task with the `event`, its `payload`, the payload's fields as `kwargs`, or as a `cloudevent`."),
    ] = "event"
    serializer: Annotated[str, About("Serializer of the messages, as kombu names it.")] = "json"
    ack_timeout_seconds: Annotated[
        float, About("Lease: an event whose task reports nothing for so many seconds goes out again.", above=0)
    ] = 3600
    max_attempts: Annotated[
        int, About("Most attempts at an event, the first one included; then see `on_exhausted`.", least=1)
    ] = 5
    backoff_seconds: Annotated[
        float, About("Longest wait before the second attempt, in seconds; doubles with each further one.")
    ] = 1
    backoff_max_seconds: Annotated[
        float, About("Longest wait before any attempt, in seconds; each wait is random up to its longest.")
    ] = 600
    on_exhausted: Annotated[
        OnExhausted,
        About("After the last attempt: `park` the event, keep its key waiting too (`hold-key`), or `halt`."),
    ] = "park"
    batch: Annotated[
        int, About("Most events of one task call; a batch that fails is split and goes out again.", least=1)
    ] = 1
    batch_wait_ms: Annotated[int, About("How long a batch may wait to fill, in milliseconds.")] = 0
    batch_as: Annotated[
        BatchAs, About("Call the task with a batch as one `list`, or in `calls`, once for each event.")
    ] = "list"
    report_by: Annotated[
        ReportBy,
        About(
            "Report outcomes by the task's `callback`, or `in-process`: the fleet's workers, with the bridge in them, "
            "write to Postgres."
        ),
    ] = "callback"
    rate: Annotated[
        str, About("Most events handed over in a second, minute or hour, as `100/s`; empty: no limit.", read=rate_of)
    ] = ""
    burst: Annotated[int, About("Most events at once after a pause, where there is a rate; 0: those of a second.")] = 0
    priority: Annotated[
        int, About("Priority of the messages; 0 is the highest on Redis, and the lowest on RabbitMQ.", most=9)
    ] = 0
    headers: Annotated[
        tuple[str, ...],
        About("Headers of the messages: names of event headers, or texts as `source=bridge`.", kind="headers"),
    ] = ()
    time_limit_seconds: Annotated[
        float, About("Time after which a worker kills the task, in seconds; 0: as the fleet has it.")
    ] = 0
    soft_time_limit_seconds: Annotated[
        float, About("Time after which the task gets `SoftTimeLimitExceeded`, in seconds; 0: as the fleet has it.")
    ] = 0

    def __post_init__(self) -> None:
        check(self.id, {name: getattr(self, name) for name in SETTINGS})


SETTINGS: Mapping[str, Setting] = settings_of(ClientSettings)


def check(client: str, given: Mapping[str, Any]) -> None:
    """Check a client's id and any number of its settings, each by itself and those that are given together.

    Raises:
        InvalidClient: the id is malformed, a name is unknown, a value is out of range, or two settings contradict
            each other.
    """
    if not CLIENT_ID.fullmatch(client):
        raise InvalidClient(
            f"client id {client!r} is not usable: letters, digits, '_', '-' and '.', at most 100, "
            "beginning with a letter, a digit or '_'"
        )
    for name, value in given.items():
        if name in REFUSED:
            raise InvalidClient(f"client {client!r} has no setting {name!r}: {REFUSED[name]}")
        if name not in SETTINGS:
            raise InvalidClient(f"client {client!r} has no setting {name!r}: there are {', '.join(SETTINGS)}")
        if problem := SETTINGS[name].problem(value):
            raise InvalidClient(f"client {client!r}: {name} is {value!r}, {problem}")
    if given.get("batch", 1) > 1 and given.get("call") == "kwargs":
        raise InvalidClient(f"client {client!r}: a batch has no keyword arguments: use call event or payload")
    _check_limits(client, given)


def _check_limits(client: str, given: Mapping[str, Any]) -> None:
    """Check time limits against each other and against the lease, as far as they are given."""
    hard, soft = given.get("time_limit_seconds", 0), given.get("soft_time_limit_seconds", 0)
    lease = given.get("ack_timeout_seconds")
    if hard and soft >= hard:
        raise InvalidClient(f"client {client!r}: soft_time_limit_seconds must be below time_limit_seconds {hard:g}")
    if lease is not None and max(hard, soft) >= lease:
        raise InvalidClient(
            f"client {client!r}: a time limit of {max(hard, soft):g} s must be below ack_timeout_seconds {lease:g}: "
            "else the event goes out again while its task still runs"
        )

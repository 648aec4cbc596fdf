"""Every metric: its name, its unit, its labels, its help, and how it is read from a snapshot. All exporters read this.

Names follow Prometheus' rules, and their words are those of `status` and of the columns in Postgres. The number of
series is bounded: so many clients, so many types of errors of each, and texts of others are cut and cleaned.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bridge.bounds import CLIENT_CHARACTERS
from bridge.metrics.reading import Snapshot
from bridge.store.metrics import BridgeNumbers, ClientNumbers, LogNumbers, Numbers

Kind = Literal["gauge", "counter", "histogram"]
CLIENT_STATES = ("active", "draining", "paused", "halted", "reader")
OTHER, UNKNOWN = "other", "unknown"  # types of errors


class Distribution(NamedTuple):
    """The value of a histogram: how many were at most each bound and more than the one before; the rest comes last."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


class Sample(NamedTuple):
    """One value, and the values of the metric's labels in their order."""

    labels: tuple[str, ...]
    value: float | Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: As Prometheus has it.
        help: What it tells, in one sentence.
        labels: Their names.
        read: Takes its values from a snapshot; none where it is not known.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    read: Callable[[Snapshot], Iterable[Sample]]

    @property
    def unit(self) -> Literal["seconds", "bytes", ""]:
        """What it is counted in, which its name ends with; empty for a number of things."""
        base = self.name.removesuffix("_total")
        return "seconds" if base.endswith("_seconds") else "bytes" if base.endswith("_bytes") else ""


def label(text: str) -> str:
    """Return a text of others as the value of a label: of bounded length, and without what can't be printed.

    A text that is changed by that gets a number behind it, so that two of them stay two.
    """
    cleaned = "".join(c if c.isprintable() else "\ufffd" for c in text)[:CLIENT_CHARACTERS]
    if cleaned == text:
        return text
    return f"{cleaned} #{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def _one(value: float | None) -> Iterator[Sample]:
    """Return the only value of a metric without labels; none where it is not known."""
    if value is not None:
        yield Sample((), value)


def _of_client(
    name: str, help: str, value: Callable[[ClientNumbers], float], *, kind: Kind = "gauge", readers: bool = False
) -> Metric:
    """Define a metric with a value for each client; plain SQL readers have those that `readers` says."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for it in snapshot.numbers.clients if snapshot.numbers else ():
            if readers or it.state != "reader":
                yield Sample((label(it.client),), value(it))

    return Metric(name=f"bridge_client_{name}", kind=kind, help=help, labels=("client",), read=read)


def _of_bridge(name: str, help: str, value: Callable[[BridgeNumbers], float | None]) -> Metric:
    """Define a metric with a value for each bridge."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for it in snapshot.numbers.bridges if snapshot.numbers else ():
            if (found := value(it)) is not None:
                yield Sample((label(it.bridge),), max(0.0, found))  # a pump that lingers has a turn that ends later

    return Metric(name=f"bridge_{name}", kind="gauge", help=help, labels=("bridge",), read=read)


def _of_log(name: str, help: str, value: Callable[[LogNumbers, Numbers], float | None]) -> Metric:
    """Define a metric of the log."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        return _one(value(snapshot.numbers.log, snapshot.numbers) if snapshot.numbers else None)

    return Metric(name=f"bridge_{name}", kind="gauge", help=help, read=read)


def _durations(name: str, of: str, help: str) -> Metric:
    """Define a histogram of durations."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for it in snapshot.numbers.durations if snapshot.numbers else ():
            if it.name == of:
                yield Sample((label(it.bridge),), Distribution(it.bounds, it.counts, it.seconds))

    return Metric(name=f"bridge_{name}", kind="histogram", help=help, labels=("bridge",), read=read)


def _states(snapshot: Snapshot) -> Iterator[Sample]:
    for it in snapshot.numbers.clients if snapshot.numbers else ():
        for state in CLIENT_STATES:
            yield Sample((label(it.client), state), float(it.state == state))


def _parked_types(snapshot: Snapshot) -> Iterator[Sample]:
    """Count by type; what is left of a client's parked events has a type that was not looked at, or is too rare."""
    if snapshot.numbers is None:
        return
    found: dict[str, Counter[str]] = {}
    for it in snapshot.numbers.parked:
        error_type = label(it.error_type) if it.error_type else UNKNOWN
        found.setdefault(it.client, Counter())[error_type] += it.events
    for client in snapshot.numbers.clients:
        counts = found.get(client.client, Counter[str]())
        if counts and (rest := client.parked - counts.total()) > 0:
            counts[OTHER] += rest
        for error_type, events in counts.items():
            yield Sample((label(client.client), error_type), events)


def _messages(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.broker is not None and snapshot.broker.messages is not None:
        yield Sample((label(snapshot.bridge),), snapshot.broker.messages)


def _unreadable(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.broker is not None and snapshot.broker.unreadable is not None:
        yield Sample((label(snapshot.bridge),), snapshot.broker.unreadable)


METRICS: tuple[Metric, ...] = (
    Metric(
        name="bridge_database_up",
        kind="gauge",
        help="1 if Postgres answers and has the schema; 0 if not, and then most other metrics are missing.",
        read=lambda it: _one(float(it.numbers is not None)),
    ),
    Metric(
        name="bridge_broker_up",
        kind="gauge",
        help="1 if the broker answers the exporter.",
        read=lambda it: _one(float(it.broker is not None)),
    ),
    _of_client("lag_events", "Matching events above the cursor; beyond 10,000, estimated.",
               lambda it: it.lag_events, readers=True),
    _of_client("lag_seconds", "Age of the oldest matching event above the cursor; 0 if there is none.",
               lambda it: it.lag_seconds, readers=True),
    _of_client("open", "Deliveries that are not finished.", lambda it: it.open),
    _of_client("window", "Most deliveries that may be open.", lambda it: it.window),
    _of_client("oldest_open_seconds", "Time since the oldest open delivery was first handed over.",
               lambda it: it.oldest_open_seconds),
    _of_client("retrying", "Open deliveries that wait for their next attempt.", lambda it: it.retrying),
    _of_client("waiting", "Events that wait for an earlier one of their key, counted up to 10,000.",
               lambda it: it.waiting),
    _of_client("parked", "Events that were set aside after their last attempt.", lambda it: it.parked),
    Metric(
        name="bridge_client_parked_by_type",
        kind="gauge",
        help="The same by the type of their error: the 20 most frequent of each client, `other`, and `unknown`.",
        labels=("client", "error_type"),
        read=_parked_types,
    ),
    _of_client("delivered_total", "Events that were handed over: new, redriven and replayed ones, no retries.",
               lambda it: it.delivered, kind="counter"),
    _of_client("settled_total", "Outcomes that were settled: successes, failures and duplicates.",
               lambda it: it.succeeded + it.failed + it.duplicates, kind="counter"),
    _of_client("succeeded_total", "Events that finished by success.", lambda it: it.succeeded, kind="counter"),
    _of_client("failed_total", "Attempts that failed, so that the event is retried, parked, or halts its client.",
               lambda it: it.failed, kind="counter"),
    _of_client("duplicates_total", "Outcomes that changed nothing: repeated, late, or of an earlier epoch.",
               lambda it: it.duplicates, kind="counter"),
    _of_client("retried_total", "Deliveries that were handed over once more, after a failure, a lease or a recall.",
               lambda it: it.retried, kind="counter"),
    _of_client("recalled_total", "Deliveries that were recalled, because their message was lost.",
               lambda it: it.recalled, kind="counter"),
    _of_client("trouble", "1 if the last pass could not serve the client.", lambda it: float(it.trouble)),
    Metric(
        name="bridge_client_state",
        kind="gauge",
        help="1 for the state that the client is in, 0 for the others.",
        labels=("client", "state"),
        read=_states,
    ),
    _of_bridge("clients", "Clients that the bridge drives.", lambda it: it.clients),
    _of_bridge("pump_silent_seconds", "Time since the last sign of a pump; before the first, since there are clients.",
               lambda it: it.pump_silent_seconds),
    _of_bridge("beat_silent_seconds", "Time since the last tick that beat sent; before the first, since there are "
               "clients.", lambda it: it.beat_silent_seconds),
    _of_bridge("collectors", "Collectors that are at work.", lambda it: it.collectors),
    _of_bridge("collector_silent_seconds", "Time since the last sign of a collector; missing where there is none.",
               lambda it: it.collector_silent_seconds),
    _of_bridge("stopped", "1 if Postgres and the broker do not fit together, so that nothing is handed over.",
               lambda it: float(it.stopped)),
    Metric(
        name="bridge_queue_messages",
        kind="gauge",
        help="Messages that wait in the bridge's own queue, such as callbacks.",
        labels=("bridge",),
        read=_messages,
    ),
    Metric(
        name="bridge_unreadable_messages",
        kind="gauge",
        help="Messages that were set aside, because no worker can read them or Postgres refuses what they report.",
        labels=("bridge",),
        read=_unreadable,
    ),
    _durations("pass_duration_seconds", "pass", "How long passes take: Postgres and the broker together."),
    _durations("settle_duration_seconds", "settle", "How long it takes to settle a batch of outcomes in Postgres."),
    _of_log("horizon_lag_events", "Offsets that were drawn and are not final.",
            lambda log, _: log.drawn - log.horizon),
    _of_log("horizon_holder_seconds", "Age of the oldest transaction that the horizon waits for; 0 if there is none.",
            lambda _, numbers: numbers.holder_seconds),
    _of_log("log_offset", "The last offset that was drawn.", lambda log, _: log.drawn),
    _of_log("log_bytes", "Size of the log, with its indexes.", lambda log, _: log.bytes),
    Metric(
        name="bridge_log_limit_bytes",
        kind="gauge",
        help="The setting `bridge_log_limit`; missing where it is empty.",
        read=lambda it: _one(it.log_limit_bytes),
    ),
    Metric(
        name="bridge_log_keep_seconds",
        kind="gauge",
        help="The setting `bridge_keep`; missing where it is empty.",
        read=lambda it: _one(it.keep_seconds),
    ),
    _of_log("log_pruned_offset", "The last offset that pruning has passed; -1 for none.", lambda log, _: log.pruned),
    _of_log("log_oldest_seconds", "Age of the oldest event that pruning has not passed.",
            lambda log, _: log.oldest_seconds),
    _of_log("log_held_seconds", "Age of the oldest event that somebody has not finished, and keeps from being pruned.",
            lambda log, _: log.held_seconds),
    _of_log("log_scheduled_events", "Events that are scheduled for later; at most 100,000 are counted.",
            lambda log, _: log.scheduled),
    _of_log("log_scheduled_late_seconds", "Since when the first scheduled event is due and not in the log; else 0.",
            lambda log, _: log.scheduled_late_seconds),
)  # fmt: skip

"""Compute from the file what the clients must count, and read from Redis what they did count.

Both are the same mapping: client to fact to value. No code of the fleet's tasks is used here. A mistake there, or an
event that was lost, doubled or out of order, is therefore a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from redis import Redis

from bridge.demo.flights import Flight


class Delays(NamedTuple):
    """Departures of one carrier, and their delays in minutes; printed as `DELAYS_SHOWN` says."""

    flown: int
    cancelled: int
    sum: int
    longest: int

    def __str__(self) -> str:
        mean = f"{self.sum / self.flown:.2f}" if self.flown else "-"
        return f"{self.flown:,}/{self.cancelled:,}/{mean}/{self.longest:,}"


DELAYS_SHOWN = "flown/cancelled/mean/longest delay (minutes) from JFK"

Value: TypeAlias = int | Delays | Mapping[str, str] | Mapping[str, int]
Facts: TypeAlias = Mapping[str, Mapping[str, Value]]


class Check(NamedTuple):
    """One fact of one client, and whether it is as expected."""

    client: str
    fact: str
    expected: str
    got: str
    ok: bool


def expected(flights: Sequence[Flight]) -> Facts:
    """Return what the file says of the flights that were published."""
    departed = [flight for flight in flights if not flight.cancelled]
    places: dict[str, str] = {}
    airports: dict[str, str] = {}
    moved = 0
    for flight in departed:
        tail = str(flight.tail)
        moved += airports.get(tail, flight.origin) != flight.origin
        airports[tail] = flight.origin
        places[tail] = "diverted" if flight.diverted else flight.destination
    return {
        "fleet-position": {
            "landed": sum(not flight.diverted for flight in departed),
            "diverted": sum(flight.diverted for flight in departed),
            "cancelled": len(flights) - len(departed),
            "changed airport": moved,
            "out of order": 0,
            "last known places": places,
        },
        "delays": {
            f"carrier {carrier}": _delays([flight for flight in flights if flight.carrier == carrier])
            for carrier in sorted({flight.carrier for flight in flights if flight.origin == "JFK"})
        },
        "audit": {
            "distinct offsets": len(flights),
            "events per topic": Counter(flight.topic for flight in flights),
        },
    }


def _delays(flights: Sequence[Flight]) -> Delays:
    minutes = [flight.delay for flight in flights if flight.origin == "JFK" and flight.delay is not None]
    cancelled = sum(flight.origin == "JFK" and flight.cancelled for flight in flights)
    return Delays(len(minutes), cancelled, sum(minutes), max(minutes, default=0))


def counted(redis: Redis) -> Facts:
    """Return what the fleet's tasks have counted."""
    position: dict[str, int] = _numbers(redis, "fleet:fleet-position:facts")
    flown, cancelled, sums, longest = (
        _numbers(redis, f"fleet:delays:{name}") for name in ("flown", "cancelled", "sums", "longest")
    )
    audited: Any = redis.scard("fleet:audit:seen")
    return {
        "fleet-position": {
            "landed": position.get("landed", 0),
            "diverted": position.get("diverted", 0),
            "cancelled": position.get("cancelled", 0),
            "changed airport": position.get("moved", 0),
            "out of order": position.get("inverted", 0),
            "last known places": _hash(redis, "fleet:fleet-position:places"),
        },
        "delays": {
            f"carrier {carrier}": Delays(*(fact.get(carrier, 0) for fact in (flown, cancelled, sums, longest)))
            for carrier in sorted({*flown, *cancelled})
        },
        "audit": {
            "distinct offsets": int(audited),
            "events per topic": _numbers(redis, "fleet:audit:topics"),
        },
    }


def repeated(redis: Redis, client: str) -> int:
    """Return how many events came to a client more than once, which at-least-once delivery allows."""
    return _numbers(redis, f"fleet:{client}:facts").get("repeated", 0)


def compare(expected: Facts, got: Facts) -> Iterator[Check]:
    """Compare every fact that is on either side."""
    for client in {**expected, **got}:
        wanted, found = expected.get(client, {}), got.get(client, {})
        for fact in {**wanted, **found}:
            yield check(client, fact, wanted.get(fact, 0), found.get(fact, 0))


def check(client: str, fact: str, expected: Value, got: Value) -> Check:
    """Compare one fact; of two mappings, name the entries that differ."""
    ok = expected == got
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return Check(client, fact, f"{len(expected):,}", _difference(expected, got), ok)
    return Check(client, fact, _shown(expected), _shown(got), ok)


def _difference(expected: Mapping[str, object], got: Mapping[str, object]) -> str:
    """Return the number of equal entries, or of those that differ with the first of them."""
    wrong = [name for name in sorted({**expected, **got}) if expected.get(name) != got.get(name)]
    if not wrong:
        return f"{len(got):,} equal"
    first, differ = wrong[0], "differs" if len(wrong) == 1 else "differ"
    return f"{len(wrong):,} {differ}: {first} is {got.get(first)}, not {expected.get(first)}"


def _shown(value: Value) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _hash(redis: Redis, key: str) -> dict[str, str]:
    found: Any = redis.hgetall(key)
    return {name.decode(): value.decode() for name, value in found.items()}


def _numbers(redis: Redis, key: str) -> dict[str, int]:
    return {name: int(value) for name, value in _hash(redis, key).items()}

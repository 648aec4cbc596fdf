"""The demo's data: every scheduled departure from New York in January 2013, in the order of the departures.

The file has another order. It lists a flight under the day that it was scheduled for, even if it left after midnight,
and a cancelled flight at the end of that day.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bridge.event import NewEvent

FILE = Path(__file__).with_name("flights-2013-01.csv.gz")
MISSING = "NA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One row of the file.

    Attributes:
        scheduled: When it was to leave (UTC).
        carrier: Two letters or digits: B6 is JetBlue.
        number: The flight number.
        tail: The aircraft's registration; None where none was assigned, as to some cancelled flights.
        origin: EWR, JFK or LGA.
        destination: Where it was to land.
        delay: Minutes between schedule and departure, negative if it left early; None if it was cancelled.
        arrival_delay: Minutes; None if it was cancelled, or departed and did not land where it was to.
        miles: From origin to destination.
    """

    scheduled: datetime
    carrier: str
    number: int
    tail: str | None
    origin: str
    destination: str
    delay: int | None
    arrival_delay: int | None
    miles: int

    @property
    def time(self) -> datetime:
        """When it left, or was to leave if it never did."""
        return self.scheduled + timedelta(minutes=self.delay or 0)

    @property
    def cancelled(self) -> bool:
        """Whether it never left."""
        return self.delay is None

    @property
    def diverted(self) -> bool:
        """Whether it left, and did not land where it was to."""
        return self.delay is not None and self.arrival_delay is None

    @property
    def topic(self) -> str:
        """`flight.<origin>.<carrier>`, followed by `.cancelled` if it never left."""
        return f"flight.{self.origin}.{self.carrier}" + (".cancelled" if self.cancelled else "")

    @property
    def event(self) -> NewEvent:
        """The flight as it is published; its key is the aircraft."""
        payload = {
            "flight": f"{self.carrier}{self.number}",
            "carrier": self.carrier,
            "tail": self.tail,
            "origin": self.origin,
            "destination": self.destination,
            "scheduled": self.scheduled.isoformat(),
            "departed": None if self.cancelled else self.time.isoformat(),
            "delay": self.delay,
            "arrival_delay": self.arrival_delay,
            "miles": self.miles,
        }
        return NewEvent(self.topic, payload, key=self.tail)


def flights(first: int | None = None) -> list[Flight]:
    """Read the file in order of time.

    Args:
        first: Number of flights, from the beginning of the month; None for all 27,004.
    """
    with gzip.open(FILE, "rt", encoding="ascii", newline="") as lines:
        read = [_flight(row) for row in csv.DictReader(lines)]
    return sorted(read, key=lambda flight: flight.time)[:first]


def _flight(row: Mapping[str, str]) -> Flight:
    # From the schedule, because the time of departure in the file has no date: it may be the next day's.
    hour = datetime.fromisoformat(row["time_hour"])
    return Flight(
        scheduled=hour + timedelta(minutes=int(row["minute"])),
        carrier=row["carrier"],
        number=int(row["flight"]),
        tail=None if row["tailnum"] == MISSING else row["tailnum"],
        origin=row["origin"],
        destination=row["dest"],
        delay=None if row["dep_time"] == MISSING else int(row["dep_delay"]),
        arrival_delay=None if row["arr_delay"] == MISSING else int(row["arr_delay"]),
        miles=int(row["distance"]),
    )

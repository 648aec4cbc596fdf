"""What a torture leaves behind, as the checker reads it. No code of the bridge is used."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from tests.torture.sampler import Seen
from tests.torture.weather import Lock

EVENTS = """SELECT "offset", topic, key, payload ? 'odd' AS odd,
                   to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS written
              FROM fq.events ORDER BY 1"""


class Line(NamedTuple):
    """One line of the handlers' record.

    `written` is when its event was written, which tells two events of one offset apart; `position` is the line's end in
    bytes, which orders all lines.
    """

    what: str
    client: str
    offset: int
    attempt: int
    generation: int
    written: str
    pid: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a checker looks at: rows of tables at the end, the record, the samples, and what audits found.

    `losses` says how often the broker lost messages; `restored` how many samples there were when the last restore of
    the database was over, None without one.
    """

    events: dict[int, Any]
    clients: dict[str, Any]
    parked: dict[str, dict[int, Any]]
    deliveries: Counter[str]
    lanes: Counter[str]
    record: list[Line]
    samples: Sequence[Seen]
    alarms: Mapping[str, Sequence[str]]
    locks: Sequence[Lock]
    losses: int
    restored: int | None
    calm: bool


def gather(
    url: str,
    record: Path,
    samples: Sequence[Seen],
    *,
    alarms: Mapping[str, Sequence[str]],
    locks: Sequence[Lock],
    losses: int,
    restored: int | None,
    calm: bool,
) -> Evidence:
    """Read the evidence."""
    with psycopg.connect(url, row_factory=namedtuple_row) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query.encode()).fetchall()

        parked: dict[str, dict[int, Any]] = defaultdict(dict)
        for row in rows('SELECT client_id, "offset", attempts, reason FROM fq.parked'):
            parked[row.client_id][row.offset] = row
        return Evidence(
            events={row.offset: row for row in rows(EVENTS)},
            clients={
                row.id: row
                for row in rows(
                    'SELECT id, "offset", dispatched, ordering, "window", topics, max_attempts FROM fq.clients'
                )
            },
            parked=parked,
            deliveries=Counter(row.client_id for row in rows("SELECT client_id FROM fq.deliveries")),
            lanes=Counter(row.client_id for row in rows("SELECT client_id FROM fq.lanes")),
            record=list(read(record)),
            samples=samples,
            alarms=alarms,
            locks=locks,
            losses=losses,
            restored=restored,
            calm=calm,
        )


def read(record: Path) -> Iterator[Line]:
    """Yield the lines of a record, in the order in which they were written."""
    position = 0
    with record.open("rb") as lines:
        for line in lines:
            position += len(line)
            yield Line._make((*json.loads(line), position))

"""Commands read, write and archive large events a bounded number of bytes at a time (G10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.log.publish import publish_many
from bridge.operate import publish_lines as publishing
from bridge.operate import tail as tailing
from bridge.operate.publish_lines import publish_lines
from bridge.operate.tail import read_events
from bridge.retention import prune as pruning
from bridge.retention.prune import free_ranges
from bridge.store import events
from bridge.store.events import Page, events_after
from bridge.store.pruning import read_bounds
from tests.support.world import World

SIZES = [10] * 30 + [40_000] * 5 + [10] * 30 + [200_000] + [30_000] * 3


@pytest.fixture
def written(world: World) -> list[int]:
    """Append events of these sizes, which can't be compressed; return their offsets."""
    found = []
    for size in SIZES:
        row = world.eyes.execute(
            "INSERT INTO fq.events (topic, payload) SELECT 'a', to_jsonb(left(string_agg(md5(random()::text), ''), %s))"
            ' FROM generate_series(1, %s) RETURNING "offset"',
            (size, size // 32 + 1),
        ).fetchone()
        assert row is not None
        found.append(row[0])
    return found


def test_g10_pages_of_the_log_are_bounded_in_bytes_and_all_of_it_is_read(
    world: World, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH_BYTES", 100_000)
    pages, asked = list[Page](), list[int]()

    def watched(*args: Any, most: int, **options: Any) -> Page:
        asked.append(most)
        pages.append(events_after(*args, most=most, **options))
        return pages[-1]

    monkeypatch.setattr(tailing, "events_after", watched)
    assert [event.offset for event in read_events(world.store, after=-1)] == written
    assert [len(event.payload) for page in pages for event in page.events] == SIZES
    for page in pages:
        assert len(page.events) == 1 or sum(len(event.payload_json) for event in page.events) <= 100_000
    assert [event.offset for event in read_events(world.store, after=-1, most=33)] == written[:33]
    assert pages[0].cut
    assert asked[1] == len(pages[0].events), "what does not fit is read in vain once"


def test_g10_lines_of_large_events_are_published_a_bounded_number_of_bytes_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BATCH_BYTES", 100_000)
    together = list[int]()

    def watched(target: Any, some: list[Any]) -> list[int]:
        together.append(len(some))
        return publish_many(target, some)

    monkeypatch.setattr(publishing, "publish_many", watched)
    lines = [json.dumps({"topic": "a", "payload": "x" * size}).encode() for size in SIZES]
    with world.store.transaction() as connection:
        assert len(list(publish_lines(connection, lines, name="lines"))) == len(SIZES)
    assert together == [33, 33, 3]


def test_g10_what_is_archived_together_is_bounded_in_bytes(
    world: World, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ARCHIVED_BYTES", 100_000)
    world.hand_over("nobody")  # finds the horizon
    bounds = read_bounds(world.store, keep=0)
    for most in (1000, len(SIZES), 7):
        ranges = [found.offsets for found in free_ranges(world.store, before=None, bounds=bounds, most=most)]
        assert [offset for found in ranges for offset in found] == written
        for found in ranges:
            sizes = [SIZES[written.index(offset)] for offset in found]
            assert len(found) <= most
            assert sum(sizes[:-1]) <= 100_000

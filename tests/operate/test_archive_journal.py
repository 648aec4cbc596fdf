"""The journal is append-only; old entries go only into an archive, and an entry that stays says so."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from bridge.archive.files import manifests, read_lines
from bridge.archive.places import place_of
from bridge.operate import archive_journal as module
from bridge.operate.archive_journal import archive_journal
from bridge.store.archive import log_identity
from tests.support.world import World

NOTE = "INSERT INTO fq.journal (by, client_id, action, at) VALUES ('me', 'c', %s, now() - make_interval(days => %s))"
YEAR = 365 * 86_400.0


def test_old_entries_are_moved_into_files_and_the_journal_tells_into_which(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ENTRIES", 2)
    for action, days in (("pause", 500), ("resume", 400), ("seek", 370), ("replay", 1)):
        world.eyes.execute(NOTE, (action, days))
    place = place_of(str(tmp_path))
    moved = archive_journal(world.store, place, older_seconds=YEAR, by="me")
    assert moved.entries == 3
    left = world.eyes.execute("SELECT action, client_id, details ->> 'file' FROM fq.journal ORDER BY id").fetchall()
    assert left == [("replay", "c", None), *[("archive journal", "*", file) for file in moved.files]]
    found = [
        json.loads(line)
        for manifest in manifests(place, log=log_identity(world.store).id, kind="journal")
        for line in read_lines(place, manifest)
    ]
    assert [entry["action"] for entry in found] == ["pause", "resume", "seek"]
    assert archive_journal(world.store, place, older_seconds=YEAR, by="me").entries == 0
    assert archive_journal(world.store, place, older_seconds=0, by="me").entries == 3, "the old notes, and no new one"


@pytest.mark.parametrize(
    "change", ["DELETE FROM fq.journal WHERE id = 3", "DELETE FROM fq.journal", "TRUNCATE fq.journal"]
)
def test_no_entry_goes_without_a_trace_not_even_for_the_owner(world: World, tmp_path: Path, change: str) -> None:
    for action, days in (("pause", 500), ("resume", 400)):
        world.eyes.execute(NOTE, (action, days))
    archive_journal(world.store, place_of(str(tmp_path)), older_seconds=YEAR, by="me")
    before = world.ask("SELECT count(*) FROM fq.journal")
    with pytest.raises(psycopg.Error) as refused:
        world.eyes.execute(change.encode())
    assert refused.value.sqlstate == "FQ001"
    assert world.ask("SELECT count(*) FROM fq.journal") == before == 1

"""G5: every table of the schema has a bound that docs/keeping.md tells, or is said to grow."""

from __future__ import annotations

import re

from tests.conftest import Connect
from tests.support.stage import REPOSITORY

KEEPING = (REPOSITORY / "docs" / "keeping.md").read_text()


def test_g5_every_table_is_listed_with_what_bounds_it(connect: Connect) -> None:
    [section] = re.findall(r"^## What bounds each table\n(.*?)^## ", KEEPING, re.DOTALL | re.MULTILINE)
    listed = re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)
    found = connect().execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'fq'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition ORDER BY 1"
    )
    assert listed == [name for (name,) in found]


def test_g5_the_epochs_of_removed_clients_become_one_when_they_are_too_many(connect: Connect) -> None:
    log = connect()
    log.execute("INSERT INTO fq.clients (id, task, epoch) SELECT 'c' || n, 't', 1 FROM generate_series(1, 1000) n")
    log.execute("UPDATE fq.clients SET epoch = 7, last_epoch = 7 WHERE id = 'c17'")
    log.execute("DELETE FROM fq.clients")
    assert log.execute("SELECT count(*) FROM fq.epochs").fetchone() == (1000,)
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('c1', 't'), ('new', 't')")
    assert log.execute("SELECT id, epoch FROM fq.clients ORDER BY id").fetchall() == [("c1", 2), ("new", 1)]
    log.execute("DELETE FROM fq.clients")
    assert log.execute("SELECT * FROM fq.epochs").fetchall() == [("*", 7)]
    log.execute("INSERT INTO fq.clients (id, task) VALUES ('c17', 't'), ('newer', 't')")
    assert log.execute("SELECT id, epoch FROM fq.clients ORDER BY id").fetchall() == [("c17", 8), ("newer", 8)]
    log.execute("DELETE FROM fq.clients")
    assert log.execute("SELECT max(epoch) FROM fq.epochs").fetchone() == (8,)

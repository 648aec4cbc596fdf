"""A synchronous standby that is away keeps every commit waiting: it is named, and no process waits for it for ever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from bridge.demo.servers import run_postgres
from bridge.errors import StoreUnavailable
from bridge.operate.explain.database import explain_waits
from bridge.store import Store, silence
from bridge.store.checkup import look_at_database
from bridge.store.migrate import migrate
from tests.operate.explaining import causes
from tests.support.servers import need_postgres_programs
from tests.support.waiting import wait_until
from tests.support.world import World

PATIENT_SECONDS = 60.0


@pytest.fixture
def waiting_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a server whose commits wait for a standby that is not there."""
    need_postgres_programs()
    with run_postgres(tmp_path, settings={"synchronous_standby_names": "ghost"}) as url:
        yield url


def test_g10_a_synchronous_standby_that_is_away_is_named_and_waited_for_within_bounds(
    waiting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LEAST_SECONDS", 8.0)
    monkeypatch.setattr(silence, "GRACE_SECONDS", 1.0)
    at_once = f"{waiting_url}?options=-c%20synchronous_commit%3Dlocal"
    migrate(at_once)
    store = Store(waiting_url, statement_timeout_seconds=1)
    with psycopg.connect(at_once, autocommit=True) as eyes, World.at(at_once, eyes) as world:
        world.client()
        assert causes(world)[0].kind == "no-pump"
        with ThreadPoolExecutor(1) as threads:
            committing = threads.submit(_write, store)
            wait_until(lambda: causes(world)[0].kind == "standby", timeout=PATIENT_SECONDS, what="it is named")
            cause = causes(world)[0]
            assert cause.severity == "error" and "(ghost)" in cause.text and "no-pump" not in _kinds(world)
            waits = look_at_database(world.store, bridge="bridge").waits
            assert [it.kind for it in explain_waits(waits)] == ["standby"]
            with pytest.raises(StoreUnavailable, match="has not answered for 8 s"):
                committing.result(PATIENT_SECONDS)
    store.close()


def _write(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE fq.clients SET queue = queue"))


def _kinds(world: World) -> set[str]:
    return {cause.kind for cause in causes(world)}

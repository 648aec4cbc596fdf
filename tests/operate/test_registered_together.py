"""Two who register one client at the same moment: the second changes what the first has made, as if it came later."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from bridge.errors import ClientConflict
from bridge.model import Registration
from bridge.store.clients import Registered, register
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@contextmanager
def another_registers(world: World, connect: Connect, wanted: Registration) -> Iterator[Future[Registered]]:
    """Register while somebody else's registration of the same id, with a window of 7, is about to commit."""
    other = connect(autocommit=False)
    other.execute("INSERT INTO fq.clients (id, \"offset\", task, \"window\") VALUES ('new', -1, 'shop.bill', 7)")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(register, world.store, wanted)
        try:
            wait_until(lambda: world.eyes.execute(WAITING).fetchone() == (1,), what="it waits for the other one")
        finally:
            other.commit()
        yield result


def test_another_task_is_refused_as_if_the_other_one_had_come_long_before(world: World, connect: Connect) -> None:
    mine = Registration(id="new", given={"task": "shop.refund"})
    with another_registers(world, connect, mine) as result, pytest.raises(ClientConflict, match=r"calls shop\.bill"):
        result.result()
    assert world.eyes.execute("SELECT task FROM fq.clients WHERE id = 'new'").fetchone() == ("shop.bill",)


def test_only_the_settings_that_are_given_change(world: World, connect: Connect) -> None:
    mine = Registration(id="new", given={"task": "shop.bill", "queue": "bills"})
    with another_registers(world, connect, mine) as result:
        done = result.result()
    assert (done.created, dict(done.changed)) == (False, {"queue": ("celery", "bills")})
    assert (done.settings.window, done.settings.queue) == (7, "bills")
    assert world.eyes.execute("SELECT \"window\", queue FROM fq.clients WHERE id = 'new'").fetchone() == (7, "bills")

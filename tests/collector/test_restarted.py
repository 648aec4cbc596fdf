"""After a restart of Postgres a collector compares it with the broker before anything else, whatever it has in hand."""

from __future__ import annotations

import pytest
from celery import Celery

from bridge.app import Bridge
from tests.collector.collecting import SECONDS, collecting, genuine
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.parametrize("held", [True, False], ids=["outcomes wait for a held client", "nothing waits"])
def test_g9_a_collector_goes_on_after_a_restart_whatever_it_has_in_hand(
    world: World, connect: Connect, redis_url: str, held: bool
) -> None:
    for client in ("held", "free"):
        world.client(client, ordering="none")
    world.publish(None, None)
    theirs = {client: world.hand_over(client) for client in ("held", "free")}
    stranger = connect(autocommit=False)
    if held:
        stranger.execute("SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    with collecting(world, redis_url) as bridge, Celery("fleet", broker=redis_url, set_as_current=False) as fleet:

        def report(client: str, nth: int) -> None:
            fleet.send_task("bridge.commit", args=genuine(theirs[client][nth]), queue="bridge")

        report("held", 0)
        report("free", 0)
        wait_until(lambda: world.cursor("free") == 1, timeout=SECONDS, what="the free one's is settled")
        restarted(bridge)
        report("free", 1)
        wait_until(lambda: world.cursor("free") == 2, timeout=SECONDS, what="it goes on")
        stranger.rollback()
        report("held", 1)
        wait_until(lambda: world.cursor("held") == 2, timeout=SECONDS, what="the held one's, too")


def restarted(bridge: Bridge) -> None:
    """Let Postgres be another server than the one that was compared, as after a restart."""
    bridge.store.vouch("before")

"""What happens to the torture's database: its disk is copied and put back later, or replicas take its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from tests.torture.sampler import Sampler
from tests.torture.standby import Standby
from tests.torture.volume import Volume, resync

if TYPE_CHECKING:
    from tests.torture.run import Torture

STALE_SECONDS = (1.0, 5.0)  # from a restore to its resync, while publishers write
LAG_SECONDS = (0.5, 3.0)  # what a replica lacks that is promoted
READY_SECONDS = 60.0

Step = tuple[float, Callable[[], None]]


class Steps:
    """The two steps of a torture that restores or promotes.

    Args:
        torture: What they happen to.
    """

    def __init__(self, torture: Torture) -> None:
        self._torture = torture
        url, directory = torture.database_url, torture.directory
        self._volume = Volume(url, directory) if torture.plan.restores else None
        self._standby = Standby(url, directory) if torture.plan.promotes else None

    def until(self, end: float, sampler: Sampler) -> list[Step]:
        """Return what is to be done, and when: the last one first."""
        share = self._torture.choose.uniform(0.2, 0.4) * self._torture.plan.seconds
        if self._volume is not None:
            first, second = self._keep_copy, partial(self._restore, sampler)
        elif self._standby is not None:
            first, second = self._switch, partial(self._promote, sampler)
        else:
            return []
        return [(end - share, second), (end - 2 * share, first)]

    def close(self) -> None:
        """Stop the servers that were started here."""
        for it in (self._volume, self._standby):
            if it is not None:
                it.close()

    def _keep_copy(self) -> None:
        assert self._volume is not None
        with self._torture.one_at_a_time:
            self._volume.keep()
            self._look_anew()
        self._torture.say("the database's disk was copied")

    def _restore(self, sampler: Sampler) -> None:
        """Put the copy of the database's disk back, let publishers write for a while, and resync."""
        assert self._volume is not None
        with self._torture.one_at_a_time:
            self._wait_for_mark()
            self._volume.put_back()
            self._torture.say("the database's disk was put back")
            self._resync(sampler)

    def _switch(self) -> None:
        """Let a replica that has everything take over; nobody tells the bridge, and nobody has to."""
        assert self._standby is not None
        with self._torture.one_at_a_time:
            self._standby.follow()
            self._standby.take_over(crash=False)
            self._look_anew()
        self._torture.say("a replica that had everything was promoted")

    def _promote(self, sampler: Sampler) -> None:
        """Let a replica that lacks the last events take over, let publishers write for a while, and resync."""
        assert self._standby is not None
        with self._torture.one_at_a_time:
            self._standby.follow()
            self._standby.stop_following()
            time.sleep(self._torture.choose.uniform(*LAG_SECONDS))
            self._wait_for_mark()
            self._standby.take_over(crash=True)
            self._torture.say("a replica that lacked the last events was promoted")
            self._resync(sampler)

    def _wait_for_mark(self) -> None:
        """Wait until a broker that was flushed has its mark again.

        If both lose what they know, nobody can tell what was lost.
        """
        self._torture.wait_until(self._torture.broker.has_mark, READY_SECONDS)

    def _resync(self, sampler: Sampler) -> None:
        torture = self._torture
        self._look_anew()
        time.sleep(torture.choose.uniform(*STALE_SECONDS))
        torture.losses += 1
        torture.say(resync(torture.database_url, torture.broker_url))
        torture.restored = len(sampler.samples)

    def _look_anew(self) -> None:
        self._torture.eyes = psycopg.connect(self._torture.database_url, autocommit=True)

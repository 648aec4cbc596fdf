"""What a torture is to do, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.torture.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The choices of one run.

    Attributes:
        seconds: How long to publish and to kill.
        seed: Of all random choices. The moments at which they take effect depend on the machine.
        publishers: Number of publishers at once.
        per_second: Events per second, all publishers together.
        kill_every_seconds: Mean pause between two kills.
        poison: Share of the events that nobody could read; as many again are read with difficulty.
        weather_every_seconds: Mean pause between two locks, read-only databases or frozen pumps.
        restores: Put a copy of the database's disk back, halfway, and resync as an operator would.
        promotes: Let a replica with everything take the database's place, and later one that lacks the last events,
            after which an operator resyncs. Not together with `restores`.
        skew: Let each bridge and the beat have a clock that is up to an hour wrong, and is set now and then.
        refuses: Let the broker refuse all messages for a while now and then: it is full, or takes no writes.
        broker: `redis` or `rabbitmq`.
        calm: Kill nothing, poison nothing and let no handler fail. Then nothing may be handled twice.
        rest_seconds: How long it may take in the end until everything is done.
    """

    seconds: float
    seed: int
    publishers: int = 16
    per_second: float = 30
    kill_every_seconds: float = 2.0
    poison: float = 0.03
    weather_every_seconds: float = 4.0
    restores: bool = False
    promotes: bool = False
    skew: bool = False
    refuses: bool = False
    broker: str = "redis"
    calm: bool = False
    rest_seconds: float = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The results of one run.

    Attributes:
        evidence: All that the checker reads.
        kills: How often each kind of victim was killed.
        weather: How often each kind of bad weather was made.
        forged: Forged callbacks that were sent.
        rolled_back: Transactions of publishers that were rolled back.
        audits: Audits of clients, the last ones included.
        rest_seconds: How long it took in the end until everything was done.
    """

    evidence: Evidence
    kills: Counter[str]
    weather: Counter[str]
    forged: int
    rolled_back: int
    audits: int
    rest_seconds: float

"""Note which beats start the pump, so that `doctor` can tell of a second one.

Two beats do no harm to the pump. The other entries of an app's schedule they run twice.
"""

from __future__ import annotations

import time
from typing import Any

from bridge.app import Bridge
from bridge.bounds import ORIGIN_CHARACTERS
from bridge.contract import BEAT_HEADER
from bridge.store.rounds import beat_holds_seconds, note_beat

NOTE_SECONDS = 10.0  # between two notes of a process about the same beat
FORGET_SECONDS = 600.0  # a beat that sent nothing for so long
MOST_BEATS = 8  # that a process remembers: more come only from somebody who makes them up

_noted: dict[str, float] = {}  # the origins of ticks; time.monotonic()


def note_beat_of(bridge: Bridge, request: Any) -> None:
    """Note the beat that has sent a tick, now and then; ticks that nobody's beat has sent are none.

    Args:
        bridge: Its name and its store.
        request: Celery's request of the tick.

    Raises:
        StoreUnavailable: nothing is noted.
    """
    origin = getattr(request, "origin", None)
    if not getattr(request, BEAT_HEADER, None) or not isinstance(origin, str):
        return
    name = "".join(c if c.isprintable() else "?" for c in origin[:ORIGIN_CHARACTERS])
    now = time.monotonic()
    for old in [it for it, at in _noted.items() if now - at > FORGET_SECONDS]:
        del _noted[old]
    if now - _noted.get(name, -NOTE_SECONDS) < NOTE_SECONDS or (name not in _noted and len(_noted) >= MOST_BEATS):
        return
    seconds = beat_holds_seconds(bridge.settings.interval_seconds)
    note_beat(bridge.store, bridge=bridge.settings.queue, beat=name, seconds=seconds)
    _noted[name] = now

"""What follows from a pass: whether to run another one at once, or when to look again. Pure: it decides, others act."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.pump.budget import Budget
from bridge.pump.taking import SAFETY_NET_SECONDS, Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What follows from a pass.

    Attributes:
        hungry: Whether another pass may find more to do at once.
        full: Whether the window has no room, so that only the end of a delivery makes a difference.
        within_seconds: When a replay or a redrive must be looked at at the latest; None if there is none.
        changed: Whether the client's row has to say any of this; else the pass found nothing, and is not remembered.
    """

    hungry: bool
    full: bool
    within_seconds: float | None
    changed: bool


def judge(budget: Budget, taken: Taken, *, woken: bool) -> Judgement:
    """Judge a pass by what it might take and what it took.

    Args:
        budget: What it might take.
        taken: What it took.
        woken: Whether the client had to be looked at; the time for that is set anew then.
    """
    sent, opened, room = taken.again + taken.fresh, budget.opened + taken.fresh, budget.room(again=taken.again)
    # An event that no message can be made of is parked next, which frees its place in the window.
    full = budget.is_still_full(opened) or (opened >= budget.window and not taken.refused)
    hungry = bool(taken.refused) or sent >= budget.limit or (taken.more and room > 0 and not full)
    within_seconds = taken.within_seconds
    if within_seconds is not None and taken.fresh >= room:  # there may be more, but there is no room to look at it
        within_seconds = SAFETY_NET_SECONDS
    changed = bool(sent or taken.looked) or woken or full or within_seconds is not None
    return Judgement(hungry=hungry, full=full, within_seconds=within_seconds, changed=changed)

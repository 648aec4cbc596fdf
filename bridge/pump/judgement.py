"""Decide whether to run another pass now, or when. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.pump.budget import Budget
from bridge.pump.taking import SAFETY_NET_SECONDS, Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What follows from a pass.

    Attributes:
        hungry: Whether another pass may find more to do at once.
        full: Whether the window is full, so that no new event goes out before deliveries end.
        within_seconds: Seconds until replays and redrives must be checked again; None if there are none.
        changed: Whether to update the client's row.
        tokens: What is left in the bucket of the client's rate; None without a rate.
        token_seconds: Seconds until enough tokens are back, where they are used up: before that nothing goes out. Else
            None.
    """

    hungry: bool
    full: bool
    within_seconds: float | None
    changed: bool
    tokens: float | None = None
    token_seconds: float | None = None


def judge(budget: Budget, taken: Taken, *, woken: bool) -> Judgement:
    """Judge a pass by what it might take and what it took.

    Args:
        budget: What it might take.
        taken: What it took.
        woken: Whether the client's `wake_at` had come; if so, the pass must write a new one.
    """
    sent = taken.again + taken.fresh - len(taken.not_taken)
    opened, room = budget.opened + taken.fresh, budget.room(again=taken.again)
    # An event that no message can be made of is parked next, which frees its place in the window.
    full = budget.is_still_full(opened) or (opened >= budget.window and not taken.refused)
    token_seconds = budget.token_seconds(sent)
    more = sent >= budget.limit or (taken.more and room > 0 and not full)
    hungry = not taken.not_taken and (bool(taken.refused) or (more and token_seconds is None))
    within_seconds = taken.within_seconds
    if within_seconds is not None and token_seconds is not None and opened < budget.window:
        within_seconds = max(within_seconds, token_seconds)
    elif within_seconds is not None and taken.fresh >= room:  # there may be more, but there is no room to look at it
        within_seconds = SAFETY_NET_SECONDS
    changed = bool(sent or taken.not_taken or taken.looked) or woken or full or within_seconds is not None
    return Judgement(
        hungry=hungry,
        full=full,
        within_seconds=within_seconds,
        changed=changed,
        tokens=budget.tokens_left(sent),
        token_seconds=token_seconds,
    )

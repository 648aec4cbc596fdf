"""What a pass may take, worked out before it takes anything. Pure: it decides, others act."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model import Client
from bridge.store.handover import Todo


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a pass may take, in events; each bound holds beside the others.

    Attributes:
        limit: Most events of the pass, of all kinds together.
        window: Most deliveries that may be open.
        opened: Deliveries that are open before the pass.
        again: Whether retries, and deliveries whose lease ran out, go out again.
        free: How many deliveries more may be open; none of a client that drains.
        redriven: Whether parked events are to be tried again.
        lanes: Whether finished keys have successors.
        replayed: How many deliveries more of a replay may be open, at most half of the window; None without a replay.
        refill_at: Most open deliveries at which a window that was full takes new events; None of another window.
    """

    limit: int
    window: int
    opened: int
    again: bool
    free: int
    redriven: bool
    lanes: bool
    replayed: int | None
    refill_at: int | None

    def room(self, *, again: int) -> int:
        """Return how many events may go out beside so many that go out again."""
        return max(0, min(self.free, self.limit - again))

    def is_still_full(self, opened: int) -> bool:
        """Tell whether a window that was full still is, with so many deliveries open."""
        return self.refill_at is not None and opened > self.refill_at


def budget_of(client: Client, todo: Todo, *, limit: int) -> Budget:
    """Work out what a pass may take of a client.

    A client that drains gets nothing but retries: what is open may still succeed, and nothing else goes out.
    """
    drains = client.state == "draining"
    return Budget(
        limit=limit,
        window=todo.window,
        opened=todo.opened,
        again=todo.woken and bool(todo.due),
        free=0 if drains else max(0, todo.window - todo.opened),
        redriven=todo.redriving and not drains,
        lanes=todo.ready,
        replayed=todo.window // 2 - todo.replayed if todo.replaying and not drains else None,
        refill_at=todo.refill_at if todo.full else None,
    )

"""What a pass may take, worked out before it takes anything. Pure: it decides, others act."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model import Client
from bridge.store.handover import Todo

ROUNDING = 1e-6  # of a token: times are sums of fractions


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
        tokens: What the bucket of the client's rate holds; None without a rate. An event costs one, a retry too, so
            `limit` is never more.
        tokens_per_second: How many come in a second; None without a rate.
        tokens_enough: How many wake a client that has used its own up; None without a rate.
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
    tokens: float | None = None
    tokens_per_second: float | None = None
    tokens_enough: float | None = None

    def tokens_left(self, sent: int) -> float | None:
        """Return what the bucket holds after so many events have gone out; None without a rate."""
        return None if self.tokens is None else max(0.0, self.tokens - sent)

    def token_seconds(self, sent: int) -> float | None:
        """Return in how many seconds tokens are back, if so many events have used them up; else None."""
        left = self.tokens_left(sent)
        if left is None or left + ROUNDING >= 1:
            return None
        return (self.tokens_enough - left) / self.tokens_per_second  # type: ignore[operator]  # there is a rate

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
        limit=limit if todo.tokens is None else min(limit, int(todo.tokens + ROUNDING)),
        window=todo.window,
        opened=todo.opened,
        again=todo.woken and bool(todo.due),
        free=0 if drains else max(0, todo.window - todo.opened),
        redriven=todo.redriving and not drains,
        lanes=todo.ready,
        replayed=todo.window // 2 - todo.replayed if todo.replaying and not drains else None,
        refill_at=todo.refill_at if todo.full else None,
        tokens=todo.tokens,
        tokens_per_second=todo.tokens_per_second,
        tokens_enough=todo.tokens_enough,
    )

"""Ticks that have piled up while no worker ran: one of them does what all of them would."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.collector.reader import Message, TaskMessage
from bridge.contract import PUMP


def without_old_ticks(found: Sequence[tuple[Message, TaskMessage | None]]) -> list[tuple[Message, TaskMessage | None]]:
    """Leave out all ticks of the pump but the last one; the order of the rest stays.

    Messages have no time that could be trusted: beat's clock may be an hour behind the worker's. Their order is enough.
    """
    last = max((nth for nth, (_, call) in enumerate(found) if call and call.task == PUMP), default=None)
    return [each for nth, each in enumerate(found) if nth == last or not each[1] or each[1].task != PUMP]

"""How often beat starts the pump, without beat spinning meanwhile."""

from __future__ import annotations

from datetime import datetime

from celery.schedules import schedstate, schedule

EARLY_SECONDS = 0.02


class Every(schedule):
    """An interval that is over a little early.

    Beat wakes 10 ms before an entry is due and asks again and again until it is: once a second, that is 1 % of a core.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether the interval is over, and in how many seconds to ask again."""
        state = super().is_due(last_run_at)
        if not state.is_due and state.next <= min(EARLY_SECONDS, self.seconds / 10):
            return schedstate(True, self.seconds)
        return state

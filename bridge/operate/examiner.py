"""The verbs that look at the whole: whether everything is as the bridge needs it, and whether it works now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.operate.viewer import Viewer

if TYPE_CHECKING:  # what it asks, and the drivers of brokers, are imported when it asks
    from bridge.operate.doctor import Finding
    from bridge.operate.health import Health

PUMP_SECONDS = 30.0
COLLECTOR_SECONDS = 30.0


class Examiner(Viewer):
    """The part of `Operator` that needs no client, and no server that answers: what is away is what it finds."""

    def doctor(self, *, timeout_seconds: float = 2.0) -> list[Finding]:
        """Check everything that the bridge rests on: Postgres, the broker, workers and clients; it changes nothing.

        Args:
            timeout_seconds: How long to wait for each connection, and then for the workers' answers. It always waits
                that long for answers, because the number of workers is not known.

        Returns:
            What each check found, what matters most first: its level is `at-risk` (time, order or events are),
            `warning`, `unknown` (it could not be asked) or `ok`.
        """
        from bridge.operate.doctor import diagnose, gather

        return diagnose(gather(self.app, timeout_seconds=timeout_seconds))

    def health(
        self,
        *,
        pump_seconds: float | None = PUMP_SECONDS,
        collector_seconds: float | None = COLLECTOR_SECONDS,
        timeout_seconds: float = 2.0,
    ) -> Health:
        """Say whether Postgres and the broker answer, and whether a pump and a collector were at work lately.

        Args:
            pump_seconds: How long ago a pump may have been at work; None: it does not matter.
            collector_seconds: Likewise a collector.
            timeout_seconds: How long to wait for each connection.
        """
        from bridge.operate.health import look_at_health

        return look_at_health(
            self.app,
            pump_seconds=pump_seconds,
            collector_seconds=collector_seconds,
            timeout_seconds=timeout_seconds,
        )

    def worker_health(self, worker: str, *, timeout_seconds: float = 5.0) -> Health:
        """Say whether a worker answers; while the broker does not, nobody can, and all counts as well.

        Args:
            worker: Name of the node, such as `celery@host`.
            timeout_seconds: How long to wait for the connection, and for the answer.
        """
        from bridge.operate.health import look_at_worker

        return look_at_worker(self.app, worker, timeout_seconds=timeout_seconds)

"""Show the whole loop on real data: a month of departures from New York, handled by three clients of a Celery fleet.

At the end every client's results are compared with numbers that are computed from the file.
"""

from bridge.demo.loop import run

__all__ = ["run"]

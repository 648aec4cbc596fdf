"""The whole loop on real data: a month of departures from New York through three clients of a Celery fleet.

It proves what it shows: at the end every client's results are compared with numbers computed from the file.
"""

from bridge.demo.loop import run

__all__ = ["run"]

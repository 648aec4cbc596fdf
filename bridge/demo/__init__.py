"""The whole loop on real data: a month of departures from New York through three clients of an outside Celery fleet.

It proves what it shows: in the end every client's results are compared with numbers computed straight from the file.
"""

from bridge.demo.loop import run

__all__ = ["run"]

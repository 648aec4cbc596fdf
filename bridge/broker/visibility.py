"""Redis' visibility timeout: kombu hands a message that a worker has not acknowledged for so long to another worker.

Where it is shorter than a lease, or than a handler that acknowledges late, an event may be handled twice at the same
time, and beside a later one of its key. The fleet's own app says how long it is there; here the app at hand is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery

KOMBUS_OWN_SECONDS = 3600.0


def visibility_seconds(app: Celery) -> float | None:
    """Return the visibility timeout of this app; None on a broker that has none."""
    if app.connection_for_write().transport.driver_type != "redis":
        return None
    return float(app.conf.broker_transport_options.get("visibility_timeout", KOMBUS_OWN_SECONDS))


def visibility_problem(app: Celery, leases: Mapping[str, float]) -> str:
    """Say what is longer than the visibility timeout, and what to set; an empty string if nothing is.

    Args:
        app: Its broker, its transport options and its time limits count.
        leases: The length of each client's lease in seconds, by the client's id.
    """
    seconds = visibility_seconds(app)
    if seconds is None:
        return ""
    longer = {f"the lease of client {id!r}": lease for id, lease in leases.items() if lease > seconds}
    if limit := app.conf.task_time_limit or app.conf.task_soft_time_limit:
        longer |= {"the time limit of a task": float(limit)} if limit > seconds else {}
    if not longer:
        return ""
    name, most = max(longer.items(), key=lambda item: item[1])
    return (
        f"the visibility_timeout of this Redis broker is {seconds:g} s, and {name} is {most:g} s: a message that a "
        "worker has for longer is given to another one, so an event may be handled twice at once; set "
        f'broker_transport_options["visibility_timeout"] to {most:g} or more, in the fleet\'s app too'
    )

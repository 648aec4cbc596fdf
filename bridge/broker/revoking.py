"""Tell the workers not to run messages that were replaced, as `app.control.revoke` does.

Celery's own call takes a connection of the app's pool and tries for ever. This one is a single message on a connection
that the caller has.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu import Connection

from bridge.broker.internals.connections import answered_within


def revoke(
    app: Celery, connection: Connection, task_ids: Sequence[str], *, seconds: float, terminate: bool = False
) -> None:
    """Ask all workers to drop these tasks where they have not begun; what runs goes on, unless it is to be ended.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker.
        task_ids: Ids of tasks.
        seconds: Longest wait for each answer.
        terminate: Kill the processes that run them: in the pools `threads` and `solo` nobody can.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    mailbox = app.control.mailbox(connection)
    arguments = {"task_id": list(task_ids), "terminate": terminate, "signal": "SIGKILL"}
    command = {"method": "revoke", "arguments": arguments, "destination": None, "pattern": None, "matcher": None}
    with answered_within(connection, seconds), connection.channel() as channel:
        app.amqp.Producer(channel, auto_declare=False).publish(
            command,
            exchange=mailbox.exchange.name,
            declare=[mailbox.exchange],
            headers={"clock": app.clock.forward(), "expires": 0},
            serializer=mailbox.serializer,
            retry=False,
        )

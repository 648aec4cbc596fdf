"""The base of the bridge's own tasks: what holds for them, whatever the app's settings say of tasks in general.

An app's settings for all of its tasks are made for the work that these do. A time limit of a second would kill the
pump, a rate limit of one a minute would stop it, and a default priority would put callbacks where they are read late.
`docs/celery-settings.md` says of each setting what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery, Task
from kombu import Producer
from kombu.utils.uuid import uuid

# Where a limit is None or 0, Celery takes the app's; no run of a pump comes near to this one.
LONGEST_SECONDS = 365 * 24 * 3600
NO_HEADERS: Mapping[str, Any] = {}


class OwnTask(Task):
    """A task of the bridge itself. The app's annotations change nothing that stands here, and are honoured otherwise.

    A task that is made with one of these attributes as an option keeps the value that it was made with.
    """

    abstract = True

    send_events = False  # Flower, and whatever else makes a row of each task, sees what the bridge hands over
    rate_limit = 0  # none; None would be the app's
    priority = 0  # on Redis the list that is read first
    serializer = "json"  # the collector reads nothing else
    compression = None
    expires = None
    time_limit = LONGEST_SECONDS
    soft_time_limit = LONGEST_SECONDS
    queue = None  # whoever publishes says it
    exchange = None
    routing_key = None
    ignore_result = True  # no result backend is asked, so none that hangs is waited for
    store_errors_even_if_ignored = False
    store_eager_result = False
    track_started = False
    acks_late = False
    acks_on_failure_or_timeout = True
    acks_on_failure = True
    acks_on_timeout = True
    reject_on_worker_lost = False  # the lease gives back what a killed process had; a broker would do so for ever
    retry_on_worker_lost = False
    max_retries = None
    default_retry_delay = 1

    @classmethod
    def annotate(cls) -> None:
        """Let the app annotate the task, and put back what it must not change."""
        made_with = {name: getattr(cls, name) for name in PINNED}
        super().annotate()
        for name, value in made_with.items():
            if getattr(cls, name) != value:
                setattr(cls, name, value)


PINNED = tuple(name for name in vars(OwnTask) if not name.startswith("_") and name not in ("abstract", "annotate"))


def publish_own(
    app: Celery,
    producer: Producer,
    task: str,
    args: Sequence[Any],
    *,
    queue: str,
    shown: str,
    headers: Mapping[str, Any] = NO_HEADERS,
    **options: Any,
) -> None:
    """Publish a call of one of the bridge's tasks to a queue by its name, once.

    The app's routes, default queue, default priority, protocol and eager mode have no say in it.

    Args:
        app: Its publish signals and its compression apply.
        producer: Publishes.
        task: Name of the task.
        args: Its arguments.
        queue: Name of a queue that is there.
        shown: The arguments in a word, for Flower and logs.
        headers: More headers of the message.
        options: Further options of the message, such as `expiration`.
    """
    message = app.amqp.as_task_v2(
        uuid(),
        task,
        args,
        ignore_result=True,
        argsrepr=f"({shown},)",
        kwargsrepr="{}",
    )
    app.amqp.send_task_message(
        producer,
        task,
        message,
        exchange="",
        routing_key=queue,
        exchange_type="topic",  # keeps Celery from rewriting the anonymous exchange to the default queue
        serializer="json",
        declare=[],
        priority=0,
        retry=False,
        headers=dict(headers),
        **options,
    )

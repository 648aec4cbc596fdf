"""Borrow from Celery's apps and workers."""

from __future__ import annotations

from typing import Any

from celery import Celery


def real_app(app: Celery) -> Celery:
    """Return the app itself where the caller has Celery's `current_app`, which is a proxy.

    Without it, the bridge of `current_app` and the bridge of its app would be two, with two connections each.
    """
    return app._get_current_object() if hasattr(app, "_get_current_object") else app


def event_loop(consumer: Any) -> Any:
    """Return the event loop of a worker; None where its pool or its broker works without one."""
    return getattr(consumer, "hub", None)


def exchange_queues(consumer: Any, *, leave: str, take: Any) -> None:
    """Let a worker that has not begun to consume leave one queue, named, and consume another one, a kombu `Queue`.

    Without it, the worker would compete with the collector for callbacks and run them one by one.
    """
    consumer.task_consumer.cancel_by_queue(leave)
    consumer.task_consumer.add_queue(take)


def tag_queues(consumer: Any) -> dict[str, str]:
    """Return the queue of each consumer tag of a kombu consumer."""
    return {tag: queue for queue, tag in consumer._active_tags.items()}

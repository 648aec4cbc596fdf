"""Explain clients of a test's world."""

from __future__ import annotations

from typing import Any

from celery import Celery

from bridge.operate.explain import Cause, explain
from bridge.operate.workers import WorkersSeen, ask_workers
from bridge.store.facts import collect_facts
from tests.support.world import World


def causes(world: World, client: str = "c", seen: WorkersSeen | None = None, **options: Any) -> list[Cause]:
    """Explain a client of this world."""
    return explain(collect_facts(world.store, client), seen, **options)


def kinds(world: World, client: str = "c", **options: Any) -> list[str]:
    """Name the kinds of the causes, in their order."""
    return [cause.kind for cause in causes(world, client, **options)]


def the(kind: str, found: list[Cause]) -> Cause:
    """Return the only cause of this kind."""
    [it] = [cause for cause in found if cause.kind == kind]
    return it


def asked(url: str, *, queue: str, bridge_queue: str = "bridge", timeout_seconds: float = 1) -> WorkersSeen:
    """Ask the broker and its workers as an app of its own."""
    app = Celery("asking", broker=url, set_as_current=False)
    try:
        return ask_workers(app, queue=queue, bridge_queue=bridge_queue, timeout_seconds=timeout_seconds)
    finally:
        app.close()

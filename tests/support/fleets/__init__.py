"""Fleets that the bridge feeds, and their notes: a Redis list that the bridge does not use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redis import Redis

DIRECTORY = Path(__file__).parent
GO_ON = "go-on"


def handled(redis_url: str, task: str = "", **payload: Any) -> list[dict[str, Any]]:
    """Return the notes that tasks made when they began, oldest first.

    Args:
        redis_url: Where the notes are.
        task: End of the task's name; empty for all tasks.
        **payload: Fields that the payload must have.
    """
    with Redis.from_url(redis_url) as client:
        notes = [json.loads(note) for note in client.lrange("handled", 0, -1)]
    return [note for note in notes if note["task"].endswith(task) and payload.items() <= _payload(note).items()]


def offsets(notes: list[dict[str, Any]]) -> list[int]:
    """Return the offsets of noted events, in the order in which their tasks began."""
    return [note["args"][0]["offset"] for note in notes]


def let_go_on(redis_url: str, *events: int) -> None:
    """Let the tasks end that wait with these events."""
    with Redis.from_url(redis_url) as client:
        for offset in events:
            client.rpush(f"{GO_ON}:{offset}", "go on")


def _payload(note: dict[str, Any]) -> dict[str, Any]:
    event: Any = note["args"][0] if note["args"] else {}
    payload = event.get("payload") if isinstance(event, dict) else None
    return payload if isinstance(payload, dict) else {}

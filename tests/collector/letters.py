"""Messages of every kind, for property tests: a good one with something in it replaced, on each broker."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

from celery import Celery
from celery.worker.consumer import Consumer
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
ODD = st.sampled_from(
    [
        "",
        "0",
        "base64",
        "utf-8",
        "2020-01-01",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "nowhen",
        "x" * 2000,
    ]
)


def deep(levels: int) -> Any:
    """Return a value that is nested so deeply."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


JUNK = (
    SCALARS
    | ODD
    | st.builds(deep, st.sampled_from([3, 150, 250, 400, 900]))
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(TEXT, SCALARS, max_size=3)
)


def headers() -> dict[str, Any]:
    """Return the headers of a good message."""
    return {
        "lang": "py",
        "task": "bridge.pump",
        "id": "tick",
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": "tick",
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "gen1@here",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }


def body() -> list[Any]:
    """Return the body of a good message."""
    return [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def envelope(content: bytes | None = None) -> dict[str, Any]:
    """Return a good message as it is stored on Redis."""
    content = json.dumps(body()).encode() if content is None else content
    return {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers(),
        "properties": {
            "correlation_id": "tick",
            "reply_to": "me",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "bridge"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "1",
        },
    }


@st.composite
def changed(draw: Callable[[Any], Any], make: Callable[[], Any]) -> Any:
    """Draw a good value with up to three things in it replaced, added or left out."""
    value = make()
    for _ in range(draw(st.integers(0, 3))):
        place, name = value, None
        while isinstance(place, dict | list) and place:
            parent = place
            name = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            place = place[name]
            if draw(st.booleans()):
                break
        if name is None:
            return draw(JUNK)
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "replace":
            parent[name] = draw(JUNK)
        elif how == "remove":
            del parent[name]
        elif isinstance(parent, dict):
            parent[draw(st.sampled_from(["compression", "errbacks", "update", "eta", "args", "__type__"]) | TEXT)] = (
                draw(JUNK)
            )
        else:
            parent.append(draw(JUNK))
    return value


def written(value: Any) -> bytes:
    """Return a value as JSON, with texts that are none escaped."""
    return json.dumps(value, skipkeys=True).encode()


BODIES = (
    st.builds(written, changed(body)) | st.binary(max_size=20) | st.sampled_from([b"", b"null", b"[]", b"5", b'""'])
)
OLD_BODIES = st.builds(
    written,
    changed(lambda: {"task": "bridge.pump", "id": "tick", "args": [], "kwargs": {}, "eta": None, "expires": None}),
)


class Handler:
    """Celery's own handling of messages, in this process: it raises where a worker would end.

    Attributes:
        accepted: How many messages reached the pool; these can be pickled.
        refused: What the worker has thrown away, and why.
    """

    def __init__(self, app: Celery) -> None:
        self.accepted = 0
        self.refused: list[str] = []
        pool = MagicMock()
        pool.apply_async = self._apply
        self.consumer = Consumer(
            on_task_request=lambda request: request.execute_using_pool(pool),
            init_callback=None,
            hostname="worker@here",
            pool=pool,
            app=app,
            timer=MagicMock(),
            controller=MagicMock(),
            hub=None,
            disable_rate_limits=True,
        )
        self.consumer.event_dispatcher = None
        self.consumer.connection_errors = ()
        self.consumer.qos = MagicMock()
        for name in ("on_decode_error", "on_unknown_message", "on_unknown_task", "on_invalid_task"):
            setattr(self.consumer, name, self._refuse(name))
        self.consumer.update_strategies()
        self.handle = self.consumer.create_task_handler()

    def _apply(self, target: Any, *, args: Any, **_: Any) -> None:
        pickle.dumps(args)
        self.accepted += 1

    def _refuse(self, name: str) -> Callable[..., None]:
        return lambda *args: self.refused.append(f"{name}: {args[-1]!r}")

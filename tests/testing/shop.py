"""A Celery app with handlers that note what they are called with."""

from __future__ import annotations

from typing import Any

from celery import Celery

import bridge


class Shop:
    """A Celery app with handlers that note what they are called with."""

    def __init__(self) -> None:
        self.app = Celery("shop", broker="memory://", set_as_current=False)
        self.calls: list[Any] = []

    def client(self, id: str = "billing", *, fails: int = 0, name: str | None = None, **settings: Any) -> None:
        """Declare a client whose handler fails so many times."""
        calls, left = self.calls, [fails]

        def handle(*args: Any, **kwargs: Any) -> None:
            calls.append((id, *args, kwargs) if kwargs else (id, *args))
            if left[0]:
                left[0] -= 1
                raise KeyError(f"attempt {left[0]}")

        bridge.client(id, **settings)(self.app.task(shared=False, name=name or f"shop.{id}")(handle))

    @property
    def offsets(self) -> list[tuple[str, int]]:
        return [(id, event["offset"]) for id, event in self.calls]

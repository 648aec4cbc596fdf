"""Where a command runs: the app that the command line names, and whether it may use colours."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery

READY = "bridge.celery"  # the app for who has none


@dataclass
class Here:
    """What stands in the place of Celery's own context where `celery` is not what was called.

    Attributes:
        name: Of the app, as for `celery -A`.
        no_color: Whether colours are switched off.
    """

    name: str
    no_color: bool = field(default_factory=lambda: "NO_COLOR" in os.environ)
    _app: Celery | None = None

    @property
    def app(self) -> Celery:
        """The app; it is imported when it is asked for: help needs none.

        Raises:
            UsageError: there is none of this name.
        """
        from bridge.command.project import named_app

        if self._app is None:
            self._app = named_app(self.name)
        return self._app

"""A column of texts, such as a client's topics, as Django's pages show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import TextField


class TextList(TextField):
    """A `text[]`, read as one text with commas. It is only read: `ArrayField` would bring more than is needed."""

    def from_db_value(self, value: Sequence[str] | None, expression: Any, connection: Any) -> str | None:
        """Join the texts."""
        return None if value is None else ", ".join(value)

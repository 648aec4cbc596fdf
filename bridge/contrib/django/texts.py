"""What the admin pages show of texts that may be long: their beginning, cut off inside Postgres."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Func, IntegerField, TextField, Value, When
from django.db.models.functions import Cast, Concat, Left

LARGE_BYTES = 64 * 1024  # as stored: what is larger is not even unpacked for a line of a list
LINE_CHARACTERS = 120
PAGE_CHARACTERS = 100_000


def beginning(column: str, characters: int) -> Left:
    """Return the beginning of a column as text."""
    return Left(Cast(column, output_field=TextField()), characters)


def in_a_line(column: str) -> Case:
    """Return the beginning of a column for a line of a list; of a large one, only how large it is."""
    size = Func(column, function="pg_column_size", output_field=IntegerField())
    return Case(
        When(_Larger(size, Value(LARGE_BYTES)), then=Concat(Cast(size, TextField()), Value(" bytes"))),
        default=beginning(column, LINE_CHARACTERS),
        output_field=TextField(),
    )


class _Larger(Func):
    """Whether the first is greater than the second."""

    template = "(%(expressions)s)"
    arg_joiner = " > "
    conditional = True

    def __init__(self, *expressions: Any) -> None:
        from django.db.models import BooleanField

        super().__init__(*expressions, output_field=BooleanField())


def shortened(text: str | None) -> str:
    """Return a text for a line of a list."""
    text = text or ""
    return text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}…"

"""Write long arrays as Postgres reads them: psycopg looks at each value in Python, and that takes longer."""

from __future__ import annotations

from collections.abc import Sequence


def numbers(values: Sequence[int]) -> str:
    """Return whole numbers as one text, such as `{17,18}`, for a bind with a cast."""
    return f"{{{','.join(map(str, values))}}}"


def texts(values: Sequence[str]) -> str:
    """Return texts likewise, such as `{"billing","billing"}`; of many, most are the same few."""
    quoted = {value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in {*values}}
    return f"{{{','.join([quoted[value] for value in values])}}}"

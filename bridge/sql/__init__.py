"""Every statement that the bridge sends, one per file, named as the function that runs it.

A file opens with a header: one sentence, then Binds, Returns, Relies on. Comments are cut off before the statement is
handed to SQLAlchemy, which would take a `:word` in a comment for a bind.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


def source(name: str) -> str:
    """The text of `name`.sql, comments included."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


@cache
def statement(name: str) -> TextClause:
    """The statement in `name`.sql, ready to execute with its binds."""
    return text(re.sub(r"--[^\n]*", "", source(name)).strip())


@cache
def for_psycopg(name: str) -> bytes:
    """The same for a psycopg cursor: with `%(name)s` instead of `:name`."""
    body = re.sub(r"--[^\n]*", "", source(name)).strip().replace("%", "%%")
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", body).encode()

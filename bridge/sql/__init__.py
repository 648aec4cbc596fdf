"""Every statement that the bridge sends, one per file, in folders by what they are for.

- `schema/`: the schema as it is now, with many statements in a file.
- `boot/`: when a process connects, and before it migrates.
- `log/`: publishers append events; operators read them (`tail`).
- `pass/`: the pump.
- `outcomes/`: settling, and `bridge.transaction` in a handler (`begin_effect`, `end_effect`).
- `marks/`: what Postgres and the broker remember of each other.
- `operate/`: what operators change; settling and the pump halt a client with `set_state`, and recall, too.
- `watch/`: looking for lost messages.
- `look/`: what operators read.
- `metrics/`: what is exported to be watched by machines.
- `checkup/`: what `doctor` and `health` read.
- `audit/`: what `audit` reads.
- `retention/`: old events are removed.
- `testing/`: what a user's own test sees of the log.

A file opens with a header: one sentence, then Binds, Returns, Relies on. Comments are cut off before the statement goes
to SQLAlchemy, which would take a `:word` in a comment for a bind.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text

_BIND = re.compile(r"(?<!:):([a-z_]+)")


def source(name: str) -> str:
    """Read the text of `name`.sql, such as `pass/lock_client`, comments included."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def _body(name: str) -> str:
    """Return a statement without its comments."""
    return re.sub(r"--[^\n]*", "", source(name)).strip()


def schema() -> str:
    """Read the statements that make the schema `fq` as it is now, in their order."""
    parts = sorted(file.name for file in files(__name__).joinpath("schema").iterdir() if file.name.endswith(".sql"))
    return "\n".join(source(f"schema/{part.removesuffix('.sql')}") for part in parts)


@cache
def statement(name: str) -> TextClause:
    """Return the statement in `name`.sql, ready to execute with its binds."""
    return text(_body(name))


@cache
def for_psycopg2(name: str) -> str:
    """Return the same for a cursor of psycopg2, or of Django: with `%(name)s` instead of `:name`."""
    return _BIND.sub(r"%(\1)s", _body(name).replace("%", "%%"))


@cache
def for_psycopg(name: str) -> bytes:
    """Return the same for a psycopg cursor."""
    return for_psycopg2(name).encode()


@cache
def for_asyncpg(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the same for asyncpg: with `$1` instead of `:name`, and the names in the order of their numbers.

    JSON goes in as text, whatever codec for jsonb the caller has set on the connection.
    """
    as_text = r"CAST(CAST(\1 AS pg_catalog.text) AS pg_catalog.jsonb)"
    body = re.sub(r"CAST\((:\w+) AS pg_catalog\.jsonb\)", as_text, _body(name))
    names = tuple(dict.fromkeys(_BIND.findall(body)))
    return _BIND.sub(lambda match: f"${names.index(match[1]) + 1}", body), names

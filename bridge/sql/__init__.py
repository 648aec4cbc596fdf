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
- `checkup/`: what `doctor` and `health` read.
- `audit/`: what `audit` reads.
- `retention/`: old events are removed.

A file opens with a header: one sentence, then Binds, Returns, Relies on. Comments are cut off before the statement goes
to SQLAlchemy, which would take a `:word` in a comment for a bind.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


def source(name: str) -> str:
    """Read the text of `name`.sql, such as `pass/lock_client`, comments included."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def schema() -> str:
    """Read the statements that make the schema `fq` as it is now, in their order."""
    parts = sorted(file.name for file in files(__name__).joinpath("schema").iterdir() if file.name.endswith(".sql"))
    return "\n".join(source(f"schema/{part.removesuffix('.sql')}") for part in parts)


@cache
def statement(name: str) -> TextClause:
    """Return the statement in `name`.sql, ready to execute with its binds."""
    return text(re.sub(r"--[^\n]*", "", source(name)).strip())


@cache
def for_psycopg(name: str) -> bytes:
    """Return the same for a psycopg cursor: with `%(name)s` instead of `:name`."""
    body = re.sub(r"--[^\n]*", "", source(name)).strip().replace("%", "%%")
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", body).encode()

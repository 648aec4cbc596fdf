"""The page on publishing, block by block: each runs as it stands, and publishes."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from types import CodeType
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import Connect
from tests.support.stage import REPOSITORY

PAGE = (REPOSITORY / "docs" / "publishing.md").read_text()
BLOCKS = re.findall(r"^```(python|sql)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHOWN = "localhost/shop"
COUNT = "SELECT (SELECT count(*) FROM fq.events) + (SELECT count(*) FROM fq.scheduled)"
DJANGO = """
from django.conf import settings
settings.configure(DATABASES={{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": {name!r},
                                            "USER": {user!r}, "HOST": {host!r}, "PORT": {port!r}}}}})
import django
django.setup()
"""


def run(block: str, url: str) -> None:
    """Run a block, which may wait at its top level."""
    address = url.partition("://")[2]
    text = block.replace(SHOWN, address)
    code = compile(text, "publishing.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    names: dict[str, Any] = {}
    if code.co_flags & inspect.CO_COROUTINE:

        async def main() -> None:
            await eval(code, names)

        asyncio.run(main())
    else:
        exec(code, names)


def run_in_django(block: str, url: str) -> None:
    """Run a block in a process of its own: Django is configured once in a process."""
    it = urlsplit(url)
    prepared = DJANGO.format(name=it.path[1:], user=it.username, host=it.hostname, port=it.port)
    done = subprocess.run(
        [sys.executable, "-c", prepared + block], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("nth", range(len(BLOCKS)))
def test_every_block_of_the_page_runs_and_publishes(
    database: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    language, block = BLOCKS[nth]
    monkeypatch.setattr("bridge.log.values._registered", {})
    eyes = connect()
    eyes.execute("CREATE TABLE orders (id bigint PRIMARY KEY, total numeric)")
    if language == "sql":
        with psycopg.connect(database) as connection:
            connection.execute(block.encode())
    elif "django" in block:
        run_in_django(block, database)
    else:
        run(block, database)
    [(events,)] = eyes.execute(COUNT).fetchall()
    assert events >= 1
    orders = eyes.execute("SELECT count(*) FROM orders").fetchone()
    assert orders == (int("INTO orders" in block),)

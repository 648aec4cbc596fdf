"""FastAPI and asynchronous SQLAlchemy: the page, followed word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.walks.fresh import machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_fastapi_shop_is_made_as_its_page_says(tmp_path: Path, empty_database: str, redis_url: str) -> None:
    with machine(tmp_path, empty_database, redis_url) as it:
        it.install("flower", "fastapi", "uvicorn", "sqlalchemy[asyncio]", "asyncpg")
        it.follow("fastapi.md")
        it.wait_for_log("shop", "to nobody at the counter: order 2, 7 EUR")
        states = {"mailer:1": "SUCCESS", "mailer:2": "FAILURE", "mailer:2:a2": "FAILURE"}
        wait_until(
            lambda: {id: it.in_flower(id).get("state") for id in states} == states,
            timeout=60,
            poll_seconds=0.5,
            what="Flower shows the attempts",
        )

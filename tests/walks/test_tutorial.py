"""Plain Celery and Redis: the tutorial, followed word by word by somebody who has only the wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.walks.fresh import machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_tutorial_can_be_followed_word_by_word(tmp_path: Path, empty_database: str, redis_url: str) -> None:
    with machine(tmp_path, empty_database, redis_url) as it:
        it.install("flower")
        it.follow("tutorial.md")
        states = {"invoices:1": "SUCCESS", "invoices:2": "FAILURE", "invoices:3": "SUCCESS"}
        wait_until(
            lambda: {id: it.in_flower(id).get("state") for id in states} == states,
            timeout=60,
            poll_seconds=0.5,
            what="Flower shows the three events",
        )
        assert "KeyError" in it.in_flower("invoices:2")["exception"]
        assert "order 2: an invoice of 60.00 EUR" in it.terminals["shop"].log

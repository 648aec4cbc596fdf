"""No Python publisher, only SQL: the page on adopting a fleet, followed word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.walks.fresh import machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_fleet_is_adopted_with_a_trigger_and_no_line_of_python(
    tmp_path: Path, empty_database: str, redis_url: str
) -> None:
    with machine(tmp_path, empty_database, redis_url) as it:
        it.install("flower")
        it.follow("adopt.md")
        it.wait_for_log("warehouse", "order 2 goes to The Shop")
        states = {"shipping:1": "SUCCESS", "shipping:2": "FAILURE", "shipping:2:a2": "FAILURE"}
        wait_until(
            lambda: {id: it.in_flower(id).get("state") for id in states} == states,
            timeout=60,
            poll_seconds=0.5,
            what="Flower shows the attempts",
        )

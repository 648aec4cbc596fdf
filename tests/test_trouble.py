"""What the log says while a server is away: one line, one a minute, one when it is back (G10)."""

from __future__ import annotations

import logging

import pytest

from bridge.trouble import Trouble


def test_g10_an_outage_is_a_line_then_one_a_minute_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    trouble = Trouble(logging.getLogger("bridge"), what="outcomes wait", over="they are settled", clock=lambda: now)
    trouble.back()
    for second in range(150):
        now = float(second)
        trouble.went(f"away {second}")
    assert trouble.is_on
    now = 160.0
    trouble.back()
    trouble.back()
    assert caplog.messages == [
        "outcomes wait: away 0",
        "outcomes wait, for 1 min now: away 60",
        "outcomes wait, for 2 min now: away 120",
        "they are settled, after 2.7 min",
    ]
    assert not trouble.is_on
    trouble.went("away again")
    assert caplog.messages[-1] == "outcomes wait: away again"


def test_an_unexpected_error_brings_its_traceback_once(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(logging.getLogger("bridge"), what="it waits", over="it goes on", clock=lambda: 0.0)
    for _ in range(3):
        trouble.went("no idea", unexpected=ValueError("no idea"))
    assert caplog.text.count("ValueError") == 1

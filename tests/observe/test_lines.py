"""One line in the log for each thing that happened, with its parts beside it."""

from __future__ import annotations

import logging

import pytest

from bridge.happened import Happening, tell
from bridge.observe import lines
from bridge.observe.lines import LINES, LINES_AT_ONCE
from tests.support.world import World

PARKED = Happening(
    kind="parked",
    client="billing",
    offset=7,
    key="order\n17",
    attempt=5,
    task_id="billing:7:a5",
    reason="failed 5 times: no\x1b[2J such order",
    error_type="KeyError",
)


@pytest.fixture(autouse=True)
def _connected(caplog: pytest.LogCaptureFixture) -> None:
    lines.connect()
    caplog.set_level(logging.DEBUG, "bridge")


def test_an_event_that_is_parked_has_one_line_that_names_it_and_why(caplog: pytest.LogCaptureFixture) -> None:
    tell(PARKED)
    [record] = caplog.records
    assert record.getMessage() == (
        r"client billing: event 7 (key order\n17), attempt 5, is parked: failed 5 times: no\x1b[2J such order"
        " (see `eventbridge parked billing`)"
    )
    assert record.levelno == logging.WARNING
    parts = {name: vars(record)[name] for name in ("client", "offset", "key", "attempt", "task_id", "reason")}
    assert parts == {
        "client": "billing",
        "offset": 7,
        "key": r"order\n17",
        "attempt": 5,
        "task_id": "billing:7:a5",
        "reason": r"failed 5 times: no\x1b[2J such order",
    }


@pytest.mark.parametrize("kind", sorted(LINES))
def test_every_line_is_one_line_whatever_is_in_it_or_missing(caplog: pytest.LogCaptureFixture, kind: str) -> None:
    tell(Happening(kind=kind))  # type: ignore[arg-type]
    tell(Happening(kind=kind, client="c", offset=1, key="\n" * 600, reason="\r\n" * 9000, number=3, about="b"))  # type: ignore[arg-type]
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 2500


def test_a_thousand_failures_at_once_are_some_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    tell(*[PARKED] * 1000)
    assert len(caplog.records) == LINES_AT_ONCE + 1
    assert caplog.messages[-1] == "900 more events are parked"


def test_a_real_failure_is_a_line_of_level_info_and_its_end_one_of_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.client(max_attempts=2)
    [first] = world.publish("k")
    world.fail(*world.hand_over())
    world.make_due()
    world.fail(*world.hand_over())
    found = [(it.levelname, it.getMessage().partition(", next attempt")[0]) for it in caplog.records]
    assert found == [
        ("INFO", f"client c: event {first} (key k), attempt 1, is retried"),
        (
            "WARNING",
            f"client c: event {first} (key k), attempt 2, is parked: failed 2 times: ValueError: no"
            " (see `eventbridge parked c`)",
        ),
    ]

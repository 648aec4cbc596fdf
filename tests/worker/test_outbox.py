"""The outbox: no report is lost while it can't be handed on, and the first one does not wait for others (G1)."""

from __future__ import annotations

import logging
import threading

import pytest

from bridge.errors import BrokerUnavailable
from bridge.worker import outbox as outboxes
from bridge.worker.outbox import Outbox
from tests.support.waiting import wait_until


def test_g1_what_cannot_be_handed_on_is_kept_in_order(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []
    away = threading.Event()
    away.set()
    refused = threading.Event()

    def hand_on(reports: list[int]) -> None:
        if away.is_set():
            refused.set()
            raise BrokerUnavailable("away")
        taken.extend(reports)

    it = Outbox(hand_on)
    it.report([1, 2])
    assert refused.wait(10)
    it.report([3])
    away.clear()
    wait_until(lambda: taken == [1, 2, 3], what="all of it is handed on")
    it.close()
    assert taken == [1, 2, 3]
    assert "outcomes wait: away" in caplog.text


def test_what_comes_while_another_batch_is_on_its_way_goes_together() -> None:
    handed_on: list[list[int]] = []
    first, go = threading.Event(), threading.Event()

    def hand_on(reports: list[int]) -> None:
        handed_on.append(reports)
        first.set()
        go.wait(10)

    it = Outbox(hand_on)
    it.report([1])
    assert first.wait(10)
    for number in range(2, 6):
        it.report([number])
    go.set()
    wait_until(lambda: len(handed_on) == 2, what="the others went")
    it.close()
    assert handed_on == [[1], [2, 3, 4, 5]]


def test_what_is_left_at_the_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    refused = threading.Event()

    def hand_on(reports: list[int]) -> None:
        refused.set()
        raise BrokerUnavailable("away")

    it = Outbox(hand_on)
    it.report([1])
    assert refused.wait(10)
    with caplog.at_level(logging.WARNING):
        it.close()
    assert "1 outcome is not handed on, its event will come again: away" in caplog.text


def test_g1_a_process_that_ends_waits_for_what_another_transaction_holds(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []
    ending = threading.Event()
    tries = iter(range(3))

    def hand_on(reports: list[int]) -> list[int]:
        if not ending.is_set() or next(tries, None) is not None:
            return reports  # they must wait
        taken.extend(reports)
        return []

    it = Outbox(hand_on)
    it.report([1, 2])
    ending.set()
    it.close()
    assert taken == [1, 2]
    assert caplog.text == ""


def test_g10_a_process_that_ends_does_not_wait_for_a_stranger_for_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "CLOSING_SECONDS", 0.05)
    it: Outbox[int] = Outbox(lambda reports: reports)
    it.report([1])
    it.close()
    assert "1 outcome is not handed on, its event will come again: another transaction holds them" in caplog.text


def test_at_the_end_all_are_closed_whatever_one_of_them_raises_and_a_next_worker_gets_new_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[int] = []

    def break_down(reports: list[int]) -> None:
        raise ValueError("not expected")

    first = outboxes.outbox("good", taken.extend)
    first.report([1])
    wait_until(lambda: taken == [1], what="the first goes at once")
    first.report([2])
    outboxes.outbox("broken", break_down).report([3])
    with caplog.at_level(logging.WARNING):
        outboxes.close_all()
    assert taken == [1, 2]
    assert "1 outcome is not handed on, its event will come again: not expected" in caplog.text
    again = outboxes.outbox("good", taken.extend)
    assert again is not first
    again.report([4])
    wait_until(lambda: taken == [1, 2, 4], what="the next worker's are handed on, too")
    outboxes.close_all()

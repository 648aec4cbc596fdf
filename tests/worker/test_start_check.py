"""A bridge worker with a setting that it can't work with ends at once, and says why in one line (G10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.solo import TaskPool

from bridge.worker.start_check import WRONG_CONFIGURATION, refusals
from tests.conftest import StartWorker
from tests.support.waiting import wait_until

SHOP = """
import json, os
from celery import Celery
import bridge

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(json.loads(os.environ["SETTINGS"]))
bridge.install(app)
"""


def pool_of(module: str) -> type:
    """Make a pool that is derived from one of Celery's, which may not be installed."""
    return type("TaskPool", (type("TaskPool", (), {"__module__": module}),), {})


@pytest.mark.parametrize(
    ("conf", "pool", "said"),
    [
        ({}, TaskPool, []),
        ({"accept_content": ["json", "pickle"]}, TaskPool, []),
        ({"accept_content": ["application/json"]}, TaskPool, []),
        ({"accept_content": ["pickle", "yaml"]}, TaskPool, ["accept_content is ['pickle', 'yaml'],"]),
        ({"accept_content": []}, TaskPool, ["accept_content is [],"]),
        ({"task_always_eager": True}, TaskPool, ["task_always_eager is on,"]),
        ({}, pool_of("celery.concurrency.eventlet"), ["in the pool eventlet, every task stands still"]),
        ({}, pool_of("celery.concurrency.gevent"), ["worker_pool is gevent, which Celery learns of too late"]),
        ({}, pool_of("shop.pools"), []),
    ],
    ids=str,
)
def test_g10_what_can_not_work_is_refused_and_nothing_else(conf: dict[str, Any], pool: type, said: list[str]) -> None:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.update(conf)
        found = [*refusals(app, pool)]
    assert [text.startswith(begin) for text, begin in zip(found, said, strict=True)] == [True] * len(said), found


@pytest.mark.parametrize("settings", [{"task_always_eager": True}, {"accept_content": ["pickle"]}], ids=str)
def test_g10_a_bridge_worker_that_is_refused_ends_with_one_line_and_a_fleet_s_worker_runs(
    tmp_path: Path, worker: StartWorker, settings: dict[str, Any]
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    env = {"SETTINGS": json.dumps(settings), "C_FORCE_ROOT": "1"}
    it = worker("shop", directory=tmp_path, env=env, queues=["bridge"], name="bridge", wait=False)
    wait_until(lambda: it.exit_code is not None, timeout=60, what="the bridge worker has ended")
    assert it.exit_code == WRONG_CONFIGURATION
    lines = [line for line in it.log.splitlines() if "this worker can't run the bridge: " in line]
    assert len(lines) == 1 and next(iter(settings)) in lines[0]
    assert "Traceback" not in it.log
    worker("shop", directory=tmp_path, env=env, queues=["celery"], name="fleet")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BRIDGE_PASS_LIMIT": "lots"}, "this worker can't start: BRIDGE_PASS_LIMIT in the environment is 'lots'"),
        (
            {"BRIDGE_DATABASE_URL": "postgresql://u:s3cr3t/x@h/db"},
            "can't run the bridge: bridge_database_url",
        ),
    ],
    ids=str,
)
def test_g10_a_setting_that_can_not_be_used_ends_a_bridge_worker_with_one_line_and_no_secret(
    tmp_path: Path, worker: StartWorker, env: dict[str, str], said: str
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    env = {"SETTINGS": "{}", "C_FORCE_ROOT": "1", **env}
    it = worker("shop", directory=tmp_path, env=env, queues=["bridge"], name="bridge", wait=False)
    wait_until(lambda: it.exit_code is not None, timeout=120, what="the bridge worker has ended")
    assert it.exit_code == WRONG_CONFIGURATION
    assert len([line for line in it.log.splitlines() if said in line]) == 1, it.log
    assert "Traceback" not in it.log and "s3cr3t" not in it.log

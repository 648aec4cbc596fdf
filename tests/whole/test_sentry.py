"""Sentry makes a transaction of every task that runs, and none of the bridge's ticks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run

import pytest

from bridge.demo.process import inherited

# Its SDK patches Celery for the whole process, so it gets one of its own.
SHOP = """
import json, sys, time
import sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

seen, ran = [], []

class Keep(Transport):
    def capture_envelope(self, envelope):
        seen.extend((item.payload.json or {}).get("transaction") for item in envelope.items)

sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Keep, traces_sample_rate=1.0, integrations=[CeleryIntegration()])

from celery import Celery
from celery.signals import task_postrun
from celery.contrib.testing.worker import start_worker
import bridge

@task_postrun.connect
def note(task, **_):
    ran.append(task.name)

app = Celery("shop", broker=sys.argv[1])
app.conf.update(bridge_database_url="postgresql://nobody@127.0.0.1:1/x", bridge_interval_seconds=0.1)
app.conf.bridge_collector = False
bridge.install(app)

@app.task(name="own", ignore_result=True)
def own():
    pass

app.finalize()
options = app.conf.beat_schedule["bridge.pump"]["options"]
with start_worker(app, pool="solo", queues=["bridge"], perform_ping_check=False):
    for _ in range(2):  # as beat does
        app.tasks["bridge.pump"].apply_async(**options)
    own.apply_async(queue="bridge")
    until = time.monotonic() + 60
    while "own" not in seen and time.monotonic() < until:
        time.sleep(0.05)
print(json.dumps([seen, ran]))
"""


@pytest.mark.slow
def test_sentry_makes_no_transaction_of_a_tick_although_it_samples_all_tasks(redis_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHOP, redis_url]
    done = run(command, cwd=tmp_path, env=inherited(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen, ran = json.loads(done.stdout.splitlines()[-1])
    assert seen == ["own"]
    assert ran == ["bridge.pump"] * 3 + ["own"], "the worker's own tick, and two as from beat"

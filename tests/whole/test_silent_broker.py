"""A Redis that says nothing any more, as one whose machine has vanished, stands nothing still for good (G10).

The whole bridge worker and its beat work through a link that keeps all answers back at once, on the connections that
there are. New connections get theirs, as from the server that has taken the place of the lost one.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.link import Link
from tests.support.stage import Stage
from tests.support.waiting import wait_until

PATIENT_SECONDS = 240.0

# kombu up to 5.6 never finds out by itself that its consumer waits in vain, and this one takes an hour.
DEAF = 'from bridge.celery import app\n\napp.conf.broker_transport_options = {"health_check_interval": 3600}\n'


@pytest.mark.timeout(2 * PATIENT_SECONDS)
@pytest.mark.parametrize(("app", "collector"), [("deaf", "on"), pytest.param("bridge", "off", marks=pytest.mark.slow)])
def test_g10_events_are_handed_over_when_the_broker_fell_silent_on_the_connections_that_there_were(
    stage: Stage, tmp_path: Path, app: str, collector: str
) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    port = urlsplit(stage.redis_url).port
    assert port is not None
    link = Link(port)
    try:
        stage.fleet()
        through = stage.redis_url.replace(f":{port}/", f":{link.port}/")
        stage.bridge(app=app, directory=tmp_path, CELERY_BROKER_URL=through, BRIDGE_COLLECTOR=collector)
        stage.client("c")
        stage.publish("c.t")
        stage.wait_until_done("c")
        link.lose()
        stage.publish("c.t")
        wait_until(
            lambda: stage.is_done("c"), timeout=PATIENT_SECONDS, what="the event came, and its outcome is settled"
        )
        stage.publish("c.t")
        wait_until(lambda: stage.is_done("c"), timeout=PATIENT_SECONDS, what="so does the next")
    finally:
        link.close()

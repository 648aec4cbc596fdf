"""A Redis that says nothing any more, as one whose machine has vanished, stands nothing still for good (G10).

The whole bridge worker and its beat work through a link that keeps all answers back at once, on the connections that
there are. New connections get theirs, as from the server that has taken the place of the lost one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.support.link import Link
from tests.support.stage import Stage
from tests.support.waiting import wait_until

PATIENT_SECONDS = 150.0


@pytest.mark.timeout(2 * PATIENT_SECONDS)
@pytest.mark.parametrize("collector", ["on", pytest.param("off", marks=pytest.mark.slow)])
def test_g10_events_are_handed_over_when_the_broker_fell_silent_on_the_connections_that_there_were(
    stage: Stage, collector: str
) -> None:
    port = urlsplit(stage.redis_url).port
    assert port is not None
    link = Link(port)
    try:
        stage.fleet()
        through = stage.redis_url.replace(f":{port}/", f":{link.port}/")
        worker = stage.bridge(CELERY_BROKER_URL=through, BRIDGE_COLLECTOR=collector)
        stage.client("c")
        stage.publish("c.t")
        stage.wait_until_done("c")
        link.lose()
        stage.publish("c.t")

        def is_done() -> bool:
            return bool(stage.is_done("c"))

        wait_until(is_done, timeout=PATIENT_SECONDS, what="the event came, and its outcome is settled")
        said = ("Connection to broker lost", "Couldn't ack")  # Celery's own words of the loss have tracebacks
        assert "Traceback" not in worker.log or any(words in worker.log for words in said)
    finally:
        link.close()

"""Beat while its broker is away: a line when it goes, a line when it is back, and no tracebacks about our ticks."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.test_beat_clock import SHOP, beat

PATIENT_SECONDS = 120.0
GONE, BACK = "beat can't send the pump's ticks: ", "beat sends the pump's ticks again, after "
OWN = "Couldn't apply scheduled task mine-0"


@pytest.mark.parametrize("app", ["bridge", "shop"], ids=["alone", "beside other entries"])
def test_g10_beat_says_in_a_line_that_its_broker_is_away(redis_url: str, tmp_path: Path, app: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace('"schedule": 20.0 + n', '"schedule": 0.5'))
    server = urlsplit(redis_url)
    link = Link(server.port or 6379)
    environment = {
        "CELERY_BROKER_URL": redis_url.replace(f":{server.port}/", f":{link.port}/"),
        "BRIDGE_INTERVAL_SECONDS": "0.2",
        "BRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
    }
    with beat(app, tmp_path, environment) as it, Redis.from_url(redis_url) as redis:
        wait_until(lambda: redis.llen("bridge"), timeout=PATIENT_SECONDS, what="beat sends ticks")
        link.close()
        wait_until(lambda: GONE in it.log, timeout=PATIENT_SECONDS, what="it is said")
        if app == "shop":
            wait_until(
                lambda: it.log.count(OWN) >= 3, timeout=PATIENT_SECONDS, what="the app's own are Celery's to say"
            )
        back = Link(server.port or 6379, listen=link.port)
        wait_until(lambda: BACK in it.log, timeout=PATIENT_SECONDS, what="that it is over is said")
        back.close()
        assert it.log.count(GONE) == 1
        assert "scheduled task bridge.pump" not in it.log
        assert app == "shop" or "Traceback" not in it.log

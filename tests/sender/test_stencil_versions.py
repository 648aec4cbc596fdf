"""The tests of messages and of borrowed internals, on the oldest Celery and kombu that the bridge supports as well."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.old_celery import OLDEST, old_python, overlaid
from tests.support.stage import REPOSITORY

# In a module without a broker of its own: the tests inside empty the databases of the one that is given.
INSIDE = """
import sys, celery, pytest
assert celery.__version__ == sys.argv[1], f"this is Celery {celery.__version__}"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", "--tb=short", *sys.argv[2:]]))
"""
TESTS = {
    "messages are what send_task would send": ["tests/sender/test_messages.py"],
    "borrowed internals are as they were seen": ["tests/broker/test_conformance.py"],
    "joined acks keep kombu's books": [
        "tests/worker/test_acks.py",
        "-k",
        "channel or qos or taken or written or put_back",
    ],
}
SECONDS = 120


@pytest.mark.slow
@pytest.mark.parametrize("tests", TESTS.values(), ids=TESTS)
def test_on_the_oldest_celery_too(tests: list[str], request: pytest.FixtureRequest, redis_url: str) -> None:
    environment = overlaid(old_python(OLDEST, request.config))
    environment["BRIDGE_TEST_REDIS_URL"] = redis_url
    environment["BRIDGE_TEST_DATABASE_URL"] = "postgresql://nobody@localhost/unused"  # no search for one either
    run = subprocess.run(
        [sys.executable, "-c", INSIDE, OLDEST, *tests],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, f"on Celery {OLDEST}:\n{run.stdout[-6000:]}{run.stderr[-2000:]}"
    assert " passed" in run.stdout and "skipped" not in run.stdout, run.stdout

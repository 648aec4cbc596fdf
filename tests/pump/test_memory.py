"""The pump's memory hardly depends on how large events are: a large one is there once, whatever its way (G10)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from celery import Celery

from tests.support.world import World

EVENTS = 4
MOST_TIMES = 1.5  # of the memory with small events
PUMP = """
import sys
from pathlib import Path
from celery import Celery
from bridge.app import Bridge
from bridge.pump.loop import pump_of

bridge = Bridge(Celery("pump", broker=sys.argv[1]))
pump, sent = pump_of(bridge), 0
pump.prepare()
while sent < int(sys.argv[2]):
    sent += pump.tick().sent
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""
MEGABYTE = 31_250  # of texts of 32 characters
SMALL = "'{}'"
TEXT = f"jsonb_build_object('text', repeat(md5(n::text), {9 * MEGABYTE}) || '😀')"  # its last character has four bytes
PAYLOADS = {
    "a text of ASCII": f"jsonb_build_object('text', repeat(md5(n::text), {9 * MEGABYTE}))",
    "digits and letters in any order": f"""(SELECT jsonb_build_object('text', string_agg(md5((n * g)::text), ''))
        FROM generate_series(1, {9 * MEGABYTE}) g)""",
    "many objects, and a bracket in each of their texts": """(
        SELECT jsonb_agg(jsonb_build_object('id', g, 'said', ':-[ ' || md5(g::text)))
          FROM generate_series(1, 150000) g)""",
}
LARGEST = f"jsonb_build_object('text', repeat(md5(n::text), {31 * MEGABYTE}))"  # that can be published


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a broker that has the fleet's queue."""
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "amqp_url")
    with Celery(broker=url, set_as_current=False).connection_for_write() as connection:
        connection.SimpleQueue("fleet").close()
    return url


def peak_mib(world: World, broker_url: str, database_url: str, payload: str, events: int) -> float:
    """Hand such events over to a new client in a process of its own; return the most memory that it had."""
    world.eyes.execute("DELETE FROM fq.clients")
    world.client(queue="fleet", start="now")
    world.eyes.execute(
        f"INSERT INTO fq.events (topic, payload) SELECT 'a', {payload} FROM generate_series(1, {events}) n".encode()
    )
    return pump_mib(broker_url, database_url, events)


def pump_mib(broker_url: str, database_url: str, events: int) -> float:
    """Hand so many events over in a process of its own; return the most memory that it had."""
    environment = os.environ | {"BRIDGE_DATABASE_URL": database_url, "BRIDGE_LINGER_SECONDS": "0"}
    command = [sys.executable, "-c", PUMP, broker_url, str(events)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    return int(done.stdout) / 1024


@pytest.mark.slow
def test_g10_events_of_9_mb_take_little_more_memory_than_small_ones(
    world: World, broker_url: str, database: str
) -> None:
    small = peak_mib(world, broker_url, database, SMALL, 1000)
    assert peak_mib(world, broker_url, database, TEXT, EVENTS) <= MOST_TIMES * small


@pytest.mark.slow
def test_g10_so_do_large_events_of_any_kind_and_those_that_go_out_again(
    world: World, broker_url: str, database: str
) -> None:
    small = peak_mib(world, broker_url, database, SMALL, 1000)
    payloads = PAYLOADS | ({"the largest": LARGEST} if broker_url.startswith("redis") else {})
    found = {kind: peak_mib(world, broker_url, database, sql, EVENTS) / small for kind, sql in payloads.items()}
    with Celery(broker=broker_url, set_as_current=False).connection_for_write() as connection:
        connection.default_channel.queue_purge("fleet")  # else they would be waited for
    world.make_due()
    found["again"] = pump_mib(broker_url, database, EVENTS) / small
    assert max(found.values()) <= MOST_TIMES, found

"""The whole loop on brokers that are neither Redis nor RabbitMQ, where a stand-in runs here (docs/brokers.md)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES
from moto.server import ThreadedMotoServer

from bridge.broker.transports import PACKAGES, why_missing
from bridge.demo.process import inherited
from bridge.errors import BrokerUnavailable, ConfigurationError
from bridge.sender.sender import Sender
from bridge.worker.start_check import WRONG_CONFIGURATION
from tests.conftest import StartWorker
from tests.sender.test_messages import client
from tests.sender.test_refused import of_sizes
from tests.support.stage import REPOSITORY
from tests.support.world import World
from tests.whole.shop import Shop

EVENTS = 12
POISON = 5
ANSWERS_SOON = {"polling_interval": 0.1}

Broker = tuple[str, dict[str, Any]]  # its URL, and transport options


@pytest.fixture
def sqs() -> Iterator[Broker]:
    """Run moto's imitation of Amazon SQS, over HTTP."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    options = {"is_secure": False, "region": "us-east-1", "wait_time_seconds": 1, **ANSWERS_SOON}
    yield f"sqs://key:secret@127.0.0.1:{port}", options
    server.stop()


@pytest.fixture
def filesystem(tmp_path: Path) -> Broker:
    for name in ("messages", "control"):
        (tmp_path / name).mkdir()
    folder = str(tmp_path / "messages")
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": str(tmp_path / "control")}
    return "filesystem://", options | ANSWERS_SOON


@pytest.fixture
def sqlalchemy(tmp_path: Path) -> Broker:
    return f"sqlalchemy+sqlite:///{tmp_path / 'broker.db'}", {"connect_args": {"timeout": 30}}


@pytest.mark.parametrize(
    "broker",
    ["sqs", pytest.param("filesystem", marks=pytest.mark.slow), pytest.param("sqlalchemy", marks=pytest.mark.slow)],
)
def test_events_are_handled_in_the_order_of_their_keys_retried_and_parked(
    *,
    request: pytest.FixtureRequest,
    world: World,
    database: str,
    redis_url: str,
    worker: StartWorker,
    broker: str,
) -> None:
    url, options = request.getfixturevalue(broker)
    shop = Shop(world=world, database=database, notebook_url=redis_url, broker_url=url, start=worker)
    settings = {"broker_transport_options": options, "worker_enable_remote_control": False}
    shop.client()
    shop.publish(EVENTS, keys=3, poison=POISON)
    started = shop.worker("bridge", "bridge", settings=settings, beat=True)
    shop.worker("fleet", "celery", settings=settings, PLAIN="1", concurrency=1)
    shop.wait_until_all_done(EVENTS)
    handled = shop.handled()
    assert set(handled) == set(range(1, EVENTS + 1))
    assert handled[POISON + 1] >= 2
    parked = world.eyes.execute('SELECT "offset" FROM fq.parked').fetchall()
    assert parked == [(POISON + 1,)]
    assert "Task bridge.commit" in started.log, "each callback is a task of its own here"


@pytest.mark.slow
def test_g10_what_amazon_refuses_is_set_aside_and_its_neighbours_are_sent_once(sqs: Broker) -> None:
    url, options = sqs
    to = client(queue="fleet", call="payload")
    sizes = [10, 5000, 10, 2_000_000, 100_000, 10, 3_000_000, 10]
    with Celery("fleet", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = options
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        refused = sender.send(to, of_sizes(to, sizes))
        assert [error.offset for error in refused] == [4, 7]
        assert all("InvalidParameterValue" in str(error) for error in refused), refused
        halves = client(queue="fleet", call="payload", batch=4)
        [one] = sender.send(halves, of_sizes(halves, [300_000, 10, 2_000_000, 10]))
        assert one.offset == 3
        sender.close()
        found: list[int] = []
        with app.connection_for_read() as connection:
            channel = connection.channel()
            while (message := channel.basic_get("fleet", no_ack=True)) is not None:
                found.append(message.headers["bridge_offset"])
    assert Counter(found) == Counter([1, 2, 3, 5, 6, 8, 1, 4]), "the batch goes on in two messages"


def test_g10_what_else_amazon_answers_is_trouble_and_no_event_s_fault(sqs: Broker) -> None:
    url, options = sqs
    to = client(queue="fleet", call="payload")
    with Celery("fleet", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = options
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        assert sender.send(to, of_sizes(to, [10])) == []
        with app.connection_for_write() as connection:
            channel = connection.channel()
            queues = channel.sqs("fleet")
            queues.delete_queue(QueueUrl=queues.get_queue_url(QueueName="fleet")["QueueUrl"])
        with pytest.raises(BrokerUnavailable, match="NonExistentQueue"):
            sender.send(to, of_sizes(to, [100_000]))
        sender.close()


def test_the_page_names_every_transport_of_kombu_and_what_installs_it() -> None:
    page = (REPOSITORY / "docs" / "brokers.md").read_text()
    named = {
        scheme for row in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) for scheme in re.findall("`(.*?)://`", row)
    }
    assert {name.lower() for name in TRANSPORT_ALIASES} <= named
    for install, _ in PACKAGES.values():
        assert f"`{install}`" in page


def test_g10_a_missing_package_of_a_broker_is_one_line_that_says_what_to_install(
    tmp_path: Path, world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client("c")
    (tmp_path / "shop.py").write_text(MISSING)
    said = "a broker at sqs:// needs the package boto3, which is missing or can't be loaded (no module named 'boto3')"
    env = {**inherited(), "BRIDGE_DATABASE_URL": database, "COLUMNS": "300"}
    worker = run(tmp_path, env, "-m", "celery", "-A", "shop", "worker", "-Q", "bridge", "-P", "solo")
    assert worker.returncode == WRONG_CONFIGURATION
    assert worker.stderr.splitlines()[-1] == f"this worker can't start: {said}: pip install 'celery[sqs]'"
    assert "Traceback" not in worker.stderr
    explained = run(tmp_path, env, "-m", "bridge", "-A", "shop", "explain", "c")
    assert f"{said}: pip install 'celery[sqs]'" in explained.stdout
    assert explained.stderr == ""
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with Celery(broker="mongodb://", set_as_current=False) as app:
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=1)
        with pytest.raises(ConfigurationError, match="needs the package pymongo"):
            sender.length("fleet")


MISSING = """
import sys
sys.modules["boto3"] = None  # as where it is not installed
from celery import Celery
import bridge

app = Celery("shop", broker="sqs://")
bridge.install(app)
"""


def run(directory: Path, env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=directory, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://", ""),
        ("amqp://", ""),
        ("memory://", ""),
        (
            "nonsense://x",
            "the broker's URL can't be used: No such transport: nonsense: `eventbridge about brokers` lists",
        ),
        ("redis://:pass/word@host", "the broker's URL can't be read"),
        ("confluentkafka://h", "a broker at confluentkafka:// needs the package confluent-kafka, which is missing or"),
        ("kafka://h", "a broker at kafka:// needs the package confluent-kafka, which is missing or"),
        (["etcd://a", "etcd://b"], "a broker at etcd:// needs the package python-etcd, which is missing or"),
    ],
    ids=str,
)
def test_what_is_said_of_a_broker_s_url_names_the_way_out_and_no_password(url: Any, said: str) -> None:
    with Celery(broker=url, set_as_current=False) as app:
        found = why_missing(app)
        app.close()
    assert found.startswith(said) and bool(found) == bool(said)
    assert "pass" not in found.replace("password", "")

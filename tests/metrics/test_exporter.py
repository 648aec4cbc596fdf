"""The exporters: they answer whatever is down, Prometheus can read them, and OpenTelemetry gets the same."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from celery import Celery
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from bridge.command.exporter import DEFAULT_PORT
from bridge.demo.servers.server import free_port
from bridge.errors import ConfigurationError
from bridge.metrics import prometheus
from bridge.metrics.definitions import METRICS
from bridge.metrics.otel import Pusher, interval_seconds, name_of
from bridge.metrics.prometheus import serve
from bridge.metrics.reading import Reading
from bridge.metrics.step import Metrics
from tests.command.running import runner
from tests.support.following import blocks
from tests.support.prometheus import promtool
from tests.support.waiting import wait_until
from tests.support.world import World

PROMETHEUS_SECONDS = 10.0  # for so long Prometheus waits for a scrape
ServeFor = Callable[..., int]


@pytest.fixture
def exporter() -> Iterator[ServeFor]:
    """Return a factory of exporters; they return their port."""
    ends: list[Callable[[], object]] = []

    def start(*, database: str, broker: str, **conf: Any) -> int:
        app = Celery("exporter", broker=broker, set_as_current=False)
        app.conf.update(bridge_database_url=database, broker_transport_options={}, **conf)
        reading = Reading(app)
        server = serve(reading, address="127.0.0.1", port=0)
        ends.extend([server.shutdown, server.server_close, reading.close, app.close])
        return server.server_port

    yield start
    for end in ends:
        end()


@contextmanager
def hangs() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PROMETHEUS_SECONDS) as answer:
        text: str = answer.read().decode()
    return text


def values(text: str) -> dict[str, float]:
    """The values of the metrics without labels."""
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_an_exporter_answers_with_all_metrics_that_promtool_finds_right(
    world: World, database: str, redis_url: str, exporter: ServeFor
) -> None:
    world.client()
    world.publish("a", "b")
    world.hand_over()
    text = scraped(exporter(database=database, broker=redis_url, bridge_keep="30d", bridge_log_limit="200GB"))
    up = values(text)
    assert (up["bridge_database_up"], up["bridge_broker_up"]) == (1, 1)
    assert (up["bridge_log_keep_seconds"], up["bridge_log_limit_bytes"]) == (30 * 86400, 200e9)
    assert 'bridge_client_open{client="c"} 2.0' in text
    for metric in METRICS:
        assert f"# HELP {metric.name} " in text and f"# TYPE {metric.name} {metric.kind}" in text
    promtool("check", "metrics", stdin=text)


def test_curl_shows_what_the_page_says(world: World, database: str, redis_url: str, exporter: ServeFor) -> None:
    world.client("billing")
    [shown] = [it for block in blocks("metrics.md") for it in block.commands() if it.line.startswith("curl")]
    url, _, wanted = shown.line.removeprefix("curl -s ").partition(" | grep ")
    assert url == f"http://127.0.0.1:{DEFAULT_PORT}/metrics"
    lines = scraped(exporter(database=database, broker=redis_url)).splitlines()
    assert [line for line in lines if wanted in line] == shown.output.splitlines()


def test_a_database_and_a_broker_that_are_away_are_down(exporter: ServeFor) -> None:
    port = exporter(
        database=f"postgresql://nobody@127.0.0.1:{free_port()}/none", broker=f"redis://127.0.0.1:{free_port()}/0"
    )
    up = values(scraped(port))
    assert (up["bridge_database_up"], up["bridge_broker_up"]) == (0, 0)
    assert "bridge_log_bytes" not in up, "what is not known is not told"


@pytest.mark.parametrize("broker", ["redis", "amqp"])
def test_a_database_and_a_broker_that_hang_are_down_before_prometheus_gives_up(
    exporter: ServeFor, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.metrics.reading.DATABASE_SECONDS", 0.5)
    monkeypatch.setattr("bridge.metrics.reading.BROKER_SECONDS", 0.5)
    with hangs() as database, hangs() as queue:
        port = exporter(
            database=f"postgresql://nobody@127.0.0.1:{database}/none", broker=f"{broker}://127.0.0.1:{queue}//"
        )
        for _ in range(2):
            up = values(scraped(port))
            assert (up["bridge_database_up"], up["bridge_broker_up"]) == (0, 0)


def test_a_database_without_the_schema_is_down(empty_database: str, redis_url: str, exporter: ServeFor) -> None:
    up = values(scraped(exporter(database=empty_database, broker=redis_url)))
    assert (up["bridge_database_up"], up["bridge_broker_up"]) == (0, 1)


def test_a_locked_table_does_not_hold_up_a_scrape_and_the_next_one_sees_again(
    world: World, database: str, redis_url: str, exporter: ServeFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.metrics.reading.FRESH_SECONDS", 0.1)
    port = exporter(database=database, broker=redis_url)
    with world.eyes.transaction():
        world.eyes.execute("LOCK TABLE fq.clients")
        assert values(scraped(port))["bridge_database_up"] == 0
    wait_until(lambda: values(scraped(port))["bridge_database_up"] == 1, what="the lock is gone")


def test_a_port_that_is_taken_is_one_clear_line(database: str) -> None:
    app = Celery("exporter", set_as_current=False)
    app.conf.bridge_database_url = database
    with hangs() as port, pytest.raises(ConfigurationError, match=f"127.0.0.1 port {port}: .*choose another port"):
        serve(Reading(app), address="127.0.0.1", port=port)


def test_a_process_that_is_forked_does_not_keep_the_port(redis_url: str, exporter: ServeFor) -> None:
    port = exporter(database="postgresql://127.0.0.1/none", broker=redis_url)
    [server] = [it for it in prometheus._listening if it.server_port == port]  # noqa: SLF001
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, b"open" if server.socket.fileno() >= 0 else b"let go")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"let go"
    assert server.socket.fileno() >= 0
    os.close(read)
    os.close(write)


def test_a_worker_whose_port_is_taken_works_without_metrics(database: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Celery("exporter", set_as_current=False)
    with hangs() as port:
        app.conf.update(bridge_database_url=database, bridge_metrics_port=port)
        worker = SimpleNamespace(app=app)
        step = Metrics(worker)
        step.start(worker)
        step.stop(worker)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("this worker has no metrics: metrics can't be served at 127.0.0.1")


@pytest.mark.parametrize(
    ("package", "option", "extra"),
    [("prometheus_client", "--port=0", "metrics"), ("opentelemetry.exporter.otlp.proto.http", "--otlp", "otel")],
)
def test_without_the_extra_it_is_said_what_to_install(
    database: str, monkeypatch: pytest.MonkeyPatch, package: str, option: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    done = runner(database)("exporter", option)
    assert done.exit_code == 2 and f"pip install 'celery-event-bridge[{extra}]'" in done.stderr


class Collector(HTTPServer):
    """What OpenTelemetry's exporter pushes to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.got: list[ExportMetricsServiceRequest] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Collector)
        self.server.got.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_opentelemetry_gets_the_same_metrics_by_otlp(
    world: World, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client()
    world.publish("a", "b", "c")
    world.succeed(*world.hand_over()[:1])
    world.eyes.execute(
        "INSERT INTO fq.durations (bridge, name, bounds, counts, seconds) VALUES ('bridge', 'pass', '{1}', '{3,1}', 9)"
    )
    app = Celery("exporter", broker=redis_url, set_as_current=False)
    app.conf.bridge_database_url = database
    collector = Collector()
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    reading = Reading(app)
    began = time.time_ns()
    pusher = Pusher(reading)
    try:
        wait_until(lambda: collector.got, what="a push")
    finally:
        pusher.stop()
        collector.shutdown()
        collector.server_close()
        reading.close()
    [resource] = collector.got[0].resource_metrics
    attributes = {it.key: it.value.string_value for it in resource.resource.attributes}
    assert attributes["service.name"] == "celery-event-bridge"
    assert attributes["deployment.environment"] == "test"
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert found.keys() <= {name_of(metric) for metric in METRICS}
    assert found["bridge.database_up"].gauge.data_points[0].as_double == 1
    [lag] = found["bridge.client_lag_events"].gauge.data_points
    assert (lag.attributes[0].key, lag.attributes[0].value.string_value, lag.as_int) == ("client", "c", 2)
    assert found["bridge.client_lag"].unit == "s" and found["bridge.log"].unit == "By"
    succeeded = found["bridge.client_succeeded"].sum
    assert succeeded.is_monotonic and succeeded.data_points[0].as_int == 1
    assert succeeded.data_points[0].time_unix_nano >= began
    [took] = found["bridge.pass_duration"].histogram.data_points
    assert (took.count, took.sum, [*took.bucket_counts], [*took.explicit_bounds]) == (4, 9, [3, 1], [1])


def test_the_interval_of_pushes_is_opentelemetrys_own_and_anything_odd_is_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for said, seconds in {"5000": 5.0, "": 60.0, "often": 60.0, "0": 0.1}.items():
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", said)
        assert interval_seconds() == seconds


def test_names_for_opentelemetry_are_the_names_of_prometheus_once_it_takes_them() -> None:
    for metric in METRICS:
        unit = {"seconds": "_seconds", "bytes": "_bytes", "": ""}[metric.unit]
        total = "_total" if metric.kind == "counter" else ""
        assert name_of(metric).replace(".", "_") + unit + total == metric.name
    assert len({name_of(metric) for metric in METRICS}) == len(METRICS)

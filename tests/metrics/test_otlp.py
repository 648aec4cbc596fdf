"""OTLP goes out by the protocol that OpenTelemetry's own variables name: HTTP, or gRPC."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from celery import Celery
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)

from bridge.errors import ConfigurationError, NotInstalled
from bridge.metrics.otel import EXPORTERS, Pusher, exporter_class
from bridge.metrics.reading import Reading
from tests.support.waiting import wait_until
from tests.support.world import World


class Collector(MetricsServiceServicer):
    """What the exporter for gRPC pushes to."""

    def __init__(self) -> None:
        self.got: list[ExportMetricsServiceRequest] = []

    def Export(
        self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        self.got.append(request)
        return ExportMetricsServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    it, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    add_MetricsServiceServicer_to_server(it, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield it
    server.stop(None).wait(10)


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"])
def test_metrics_are_pushed_over_grpc_where_the_sdk_s_own_variable_says_so(
    *, world: World, database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, collector: Collector, variable: str
) -> None:
    monkeypatch.setenv(variable, "grpc")
    world.client()
    world.publish("a", "b")
    app = Celery("exporter", broker=redis_url, set_as_current=False)
    app.conf.bridge_database_url = database
    reading = Reading(app)
    pusher = Pusher(reading)
    try:
        wait_until(lambda: collector.got, what="a push")
    finally:
        pusher.stop()
        reading.close()
    [resource] = collector.got[0].resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    [lag] = found["bridge.client_lag_events"].gauge.data_points
    assert lag.as_int == 2


def test_the_variable_for_metrics_goes_before_the_one_for_all_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert ".grpc." in exporter_class().__module__
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")
    assert ".http." in exporter_class().__module__


def test_a_protocol_or_a_package_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(ConfigurationError, match="is 'http/json': metrics go out by http/protobuf or grpc"):
        exporter_class()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setitem(sys.modules, EXPORTERS["grpc"][0], None)
    with pytest.raises(NotInstalled, match="for grpc: pip install 'opentelemetry-exporter-otlp-proto-grpc'"):
        exporter_class()

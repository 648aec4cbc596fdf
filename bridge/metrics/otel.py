"""Metrics for OpenTelemetry: the same table, pushed every so often to a collector by OTLP.

Where it goes, how often, and under which names of resources, is said by the variables that OpenTelemetry's SDK has for
it: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_SERVICE_NAME`,
`OTEL_RESOURCE_ATTRIBUTES`.
The values are totals already, and histograms have their buckets, so they are handed to the exporter as they are: the
SDK's instruments could only count anew.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bridge.errors import ConfigurationError, NotInstalled
from bridge.metrics.definitions import METRICS, Distribution, Metric
from bridge.metrics.reading import Reading, Snapshot
from bridge.trouble import Trouble
from bridge.wording import one_line

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
    from opentelemetry.sdk.resources import Resource

logger = logging.getLogger("bridge.metrics")

INTERVAL_VARIABLE, DEFAULT_INTERVAL_MS = "OTEL_METRIC_EXPORT_INTERVAL", 60_000.0
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")  # the first one counts
HTTP = "http/protobuf"
EXPORTERS = {  # by the protocol: the module, and what pip installs
    HTTP: ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "celery-event-bridge[otel]"),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc.metric_exporter", "opentelemetry-exporter-otlp-proto-grpc"),
}
EXPORT_SECONDS = 10.0
SERVICE = "celery-event-bridge"
UNITS = {"seconds": "s", "bytes": "By", "": "1"}


def exporter_class() -> type[MetricExporter]:
    """Return OpenTelemetry's own exporter for the protocol that its variables name; by default OTLP over HTTP.

    Raises:
        NotInstalled: the extra, or the exporter for gRPC, is not there.
        ConfigurationError: the protocol is none that the SDK has.
    """
    protocol = next((value for name in PROTOCOL_VARIABLES if (value := os.environ.get(name, "").strip().lower())), HTTP)
    if protocol not in EXPORTERS:
        known = " or ".join(EXPORTERS)
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {one_line(protocol, most=50)!r}: metrics go out by {known}"
        )
    module, package = EXPORTERS[protocol]
    try:
        import opentelemetry.sdk.metrics.export  # noqa: F401

        found: type[MetricExporter] = import_module(module).OTLPMetricExporter
    except ImportError as error:
        raise NotInstalled(
            f"OpenTelemetry metrics need its SDK and the OTLP exporter for {protocol}: pip install '{package}'"
        ) from error
    return found


def name_of(metric: Metric) -> str:
    """Return its name here: Prometheus, when it takes it from OpenTelemetry, makes of it the name that it has there."""
    return metric.name.removesuffix("_total").removesuffix(f"_{metric.unit}").replace("bridge_", "bridge.", 1)


def metrics_data(snapshot: Snapshot, *, resource: Resource, began_ns: int, now_ns: int) -> MetricsData:
    """Put a snapshot into the form in which OpenTelemetry's exporters take it."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [_metric(metric, snapshot, began_ns, now_ns) for metric in METRICS]
    scope = ScopeMetrics(
        scope=InstrumentationScope("bridge", version(SERVICE)),
        metrics=[metric for metric in metrics if metric.data.data_points],
        schema_url="",
    )
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(metric: Metric, snapshot: Snapshot, began_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics import export as sdk

    points: list[Any] = []
    for labels, value in metric.read(snapshot):
        common: dict[str, Any] = {
            "attributes": dict(zip(metric.labels, labels, strict=True)),
            "start_time_unix_nano": began_ns,
            "time_unix_nano": now_ns,
        }
        unknown: Any = None  # OTLP may leave out what nobody knows
        if isinstance(value, Distribution):
            points.append(
                sdk.HistogramDataPoint(
                    **common,
                    count=sum(value.counts),
                    sum=value.total,
                    bucket_counts=list(value.counts),
                    explicit_bounds=list(value.bounds),
                    min=unknown,
                    max=unknown,
                )
            )
        else:
            points.append(sdk.NumberDataPoint(**common, value=value))
    cumulative = sdk.AggregationTemporality.CUMULATIVE
    data: Any
    match metric.kind:
        case "histogram":
            data = sdk.Histogram(points, aggregation_temporality=cumulative)
        case "counter":
            data = sdk.Sum(points, aggregation_temporality=cumulative, is_monotonic=True)
        case "gauge":
            data = sdk.Gauge(points)
    return sdk.Metric(name=name_of(metric), description=metric.help, unit=UNITS[metric.unit], data=data)


class Pusher:
    """Pushes in a thread, until it is stopped.

    Args:
        reading: What is pushed.
        exporter: Where to; by default by OTLP, as the environment says.

    Raises:
        NotInstalled: the extra `otel`, or the exporter for gRPC, is missing.
        ConfigurationError: the environment names a protocol that there is not.
    """

    def __init__(self, reading: Reading, exporter: MetricExporter | None = None) -> None:
        make = exporter_class()
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource

        named = OTELResourceDetector().detect()
        self._resource = (
            Resource.create() if SERVICE_NAME in named.attributes else Resource.create({SERVICE_NAME: SERVICE})
        )
        self._reading, self._exporter = reading, exporter or make()
        self._stopping = threading.Event()
        self._began_ns = time.time_ns()
        self._trouble = Trouble(logger, what="metrics can't be pushed", over="metrics are pushed again")
        self._thread = threading.Thread(target=self._run, name="bridge-metrics-push", daemon=True)
        self._thread.start()

    def push(self) -> None:
        """Push once."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        data = metrics_data(
            self._reading.snapshot(), resource=self._resource, began_ns=self._began_ns, now_ns=time.time_ns()
        )
        if self._exporter.export(data, timeout_millis=1000 * EXPORT_SECONDS) is MetricExportResult.SUCCESS:
            self._trouble.back()
        else:
            self._trouble.went("OpenTelemetry's exporter has said why")

    def stop(self) -> None:
        """End; a push that is under way ends by itself."""
        self._stopping.set()
        self._exporter.shutdown(timeout_millis=1000)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.push()
            except Exception as error:  # its network may raise anything: the next push is another try
                self._trouble.went(f"{type(error).__name__}: {error}")
            self._stopping.wait(interval_seconds())


def interval_seconds() -> float:
    """Return how often to push, as OpenTelemetry's variable says."""
    try:
        milliseconds = float(os.environ.get(INTERVAL_VARIABLE) or DEFAULT_INTERVAL_MS)
    except ValueError:
        milliseconds = DEFAULT_INTERVAL_MS
    return max(100.0, milliseconds) / 1000

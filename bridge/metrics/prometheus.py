"""Metrics for Prometheus: the table as its families, and a small server that answers whatever is down."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from weakref import WeakSet
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bridge.errors import ConfigurationError, NotInstalled
from bridge.metrics.definitions import METRICS, Distribution, Metric
from bridge.metrics.reading import Reading, Snapshot

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

REQUEST_SECONDS = 10.0  # a peer that says nothing for so long is left

_listening: WeakSet[WSGIServer] = WeakSet()


def need_prometheus() -> None:
    """See that the extra is there.

    Raises:
        NotInstalled: it is not.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise NotInstalled("metrics need prometheus-client: pip install 'celery-event-bridge[metrics]'") from error


class Families:
    """What a registry of prometheus_client collects: all metrics, read anew for every scrape."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Family]:
        """Yield all families, those without values too."""
        snapshot = self._reading.snapshot()
        for metric in METRICS:
            yield family(metric, snapshot)

    def describe(self) -> Iterator[Family]:
        """Yield the families without values, which asks nobody."""
        for metric in METRICS:
            yield family(metric, None)


def family(metric: Metric, snapshot: Snapshot | None) -> Family:
    """Make the family of a metric, with its values."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    kinds: dict[str, Any] = {
        "gauge": GaugeMetricFamily,
        "counter": CounterMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    made = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.read(snapshot) if snapshot is not None else ():
        if isinstance(value, Distribution):
            made.add_metric(labels, _buckets(value), value.total)
        else:
            made.add_metric(labels, value)
    result: Family = made
    return result


def _buckets(value: Distribution) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus wants them: each counts those before it, too."""
    found, count = list[tuple[str, float]](), 0
    for bound, number in zip([*map(float, value.bounds), float("inf")], value.counts, strict=True):
        count += number
        found.append(("+Inf" if bound == float("inf") else str(bound), count))
    return found


def registry(reading: Reading) -> CollectorRegistry:
    """Make a registry that has these metrics and nothing of the process."""
    from prometheus_client import CollectorRegistry

    made = CollectorRegistry()
    made.register(Families(reading))
    return made


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Log no line for each scrape."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def serve(reading: Reading, *, address: str, port: int) -> WSGIServer:
    """Answer scrapes in a thread, until `shutdown()` and `server_close()` of the server.

    Raises:
        NotInstalled: the extra `metrics` is missing.
        ConfigurationError: the address can't be had.
    """
    need_prometheus()
    from prometheus_client import make_wsgi_app

    kind = _ServerV6 if ":" in address else _Server
    try:
        server = make_server(address, port, make_wsgi_app(registry(reading)), server_class=kind, handler_class=_Handler)
    except OSError as error:
        raise ConfigurationError(
            f"metrics can't be served at {address} port {port}: {error.strerror or error}: "
            "choose another port or address"
        ) from error
    if not _listening:
        _let_go_in_children()
    _listening.add(server)
    threading.Thread(target=server.serve_forever, name="bridge-metrics", daemon=True).start()
    return server


_hooked = False


def _let_go_in_children() -> None:
    """Let a process that a pool forks not keep the port, which would outlive this process with it."""
    global _hooked  # noqa: PLW0603
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for server in list(_listening):
        server.socket.close()

"""`eventbridge exporter`: metrics of the log and its clients, for Prometheus or OpenTelemetry, until Ctrl-C."""

from __future__ import annotations

import signal
import threading

import click

from bridge.command.invocation import say
from bridge.command.project import operator_here
from bridge.metrics.otel import Pusher
from bridge.metrics.prometheus import serve
from bridge.metrics.reading import Reading

DEFAULT_PORT = 9810


@click.command("exporter")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    metavar="PORT",
    show_default=True,
    help="Where to listen; 0: any.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    metavar="ADDRESS",
    show_default=True,
    help="Where to listen; 0.0.0.0 for everywhere.",
)
@click.option("--otlp", is_flag=True, help="Push by OTLP instead, to where OTEL_EXPORTER_OTLP_ENDPOINT says.")
@click.pass_context
def exporter_command(ctx: click.Context, port: int, address: str, otlp: bool) -> None:
    """Export metrics to Prometheus or OpenTelemetry.

    It answers at http://ADDRESS:PORT/metrics, or pushes by OTLP, until Ctrl-C. One is enough for a log, whatever the
    number of workers. It answers also while the database or the broker is away, and says so.
    """
    reading = Reading(operator_here(ctx).app)
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())  # as a container or systemd stops it
    try:
        if otlp:
            pusher = Pusher(reading)
            say("metrics are pushed by OTLP")
            ended.wait()
            pusher.stop()
        else:
            server = serve(reading, address=address, port=port)
            shown = f"[{address}]" if ":" in address else address
            say(f"metrics are at http://{shown}:{server.server_port}/metrics")
            ended.wait()
            server.shutdown()
            server.server_close()
    finally:
        signal.signal(signal.SIGTERM, before)
        reading.close()

"""Set OpenTelemetry and Sentry up in a worker as their docs say; spans and transactions go to a file, one a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

provider = TracerProvider()
out = Path(os.environ["SPANS"]).open("a", buffering=1)  # noqa: SIM115 - open as long as the worker
line = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")
provider.add_span_processor(SimpleSpanProcessor(line))
trace.set_tracer_provider(provider)
CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]


class ToFile(Transport):
    """Writes transactions beside the spans."""

    def capture_envelope(self, envelope: Envelope) -> None:
        if event := envelope.get_transaction_event():
            told = {"sentry": event["transaction"], "trace_id": event["contexts"]["trace"]["trace_id"]}
            out.write(json.dumps(told) + "\n")


sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    traces_sample_rate=1.0,
    transport=ToFile,
    default_integrations=False,
    integrations=[CeleryIntegration()],
)

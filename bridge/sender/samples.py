"""Samples that a stencil is tried out on: one message of each shape, with content that is easily spoilt."""

from __future__ import annotations

import json
from typing import Any

from bridge.model import Client, Delivery

SAMPLE_QUEUE = "bridge.trial"  # no message is meant to get there

_TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": 'a="b"'}
_SENTRY = {"baggage": "a=%20", "sentry-trace": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"}
_B3 = {"x-b3-traceid": "4bf92f3577b34da6a3ce929d0e0e4736", "x-datadog-trace-id": "17", "X-Amzn-Trace-Id": 'R="1"'}
_BODY = json.dumps({"n": 1, "ü%s": ["\u2028", '"', "\\", 0.5, None, "@@bridge-offset@@"]}, ensure_ascii=False)


def _client(**settings: Any) -> Client:
    position = {"offset": 0, "dispatched": 0, "epoch": 1, "generation": 2, "filter": "", "state": "active"}
    return Client(**{"id": "trial", "task": "trial", "queue": SAMPLE_QUEUE, **position, **settings})


def _sample(
    number: int, *, trace: dict[str, str] | None = None, headers: dict[str, str] | None = None, **settings: Any
) -> tuple[Client, list[Delivery]]:
    client = _client(**settings)
    return client, [
        Delivery(
            client=client,
            offset=42 + nth,
            epoch=3,
            attempt=2,
            topic='a."%s".ü',
            body=_BODY,
            trace=trace or {},
            headers=headers or {},
            key='k"%s\n\\ü',
        )
        for nth in range(number)
    ]


SAMPLES = (
    _sample(1, trace=_TRACE),
    _sample(1, call="kwargs", headers=_B3),
    _sample(2, batch=2, report_by="in-process", trace=_TRACE | _SENTRY),
    _sample(2, batch=2, batch_as="calls"),
)

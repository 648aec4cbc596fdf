"""Traces: the context of a publisher travels with its event, and what the bridge does with it is in spans.

It works where OpenTelemetry or Sentry is set up in the process already, and imports neither otherwise. Nothing that
goes wrong in a tracer keeps an event from being published, handed over or settled.
"""

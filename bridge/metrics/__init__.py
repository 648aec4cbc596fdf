"""Metrics: one table of what is measured and how it is read, and two exporters over it: Prometheus, OpenTelemetry.

All numbers come from Postgres, but for whether the servers answer. So no process has to be asked, it makes no
difference which pool or host the work is done in, and any process can be the exporter (decision 43).
"""

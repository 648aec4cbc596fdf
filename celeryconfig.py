"""Celery's own configuration: `celery worker -B -Q bridge,celery` in this directory is a bridge and a consumer at once.

Servers come from the environment: `CELERY_BROKER_URL` for the broker, `BRIDGE_DATABASE_URL` for Postgres. A deployment that
grows runs three workers instead of one: `-Q bridge` (the bridge), `-Q celery` (the fleet), and `celery beat`.
"""

import os

from bridge.app import MODULES, beat_entry
from bridge.settings import Settings

broker_url = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
broker_connection_retry_on_startup = True

bridge_database_url = os.environ.get("BRIDGE_DATABASE_URL", "postgresql://postgres@localhost:5432/postgres")

imports = (*MODULES, "tasks.orders")
beat_schedule = beat_entry(Settings.read({}, os.environ))

task_acks_late = True
worker_prefetch_multiplier = 4

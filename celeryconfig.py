"""Celery's own configuration: `celery worker -B -Q bridge,celery` in this directory is a bridge and a consumer at once.

The environment names the servers: `CELERY_BROKER_URL` the broker, `BRIDGE_DATABASE_URL` Postgres. A deployment that
grows runs three workers instead of one: `-Q bridge` (the bridge), `-Q celery` (the fleet), and `celery beat`.
"""

import os

broker_url = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
broker_connection_retry_on_startup = True

bridge_database_url = os.environ.get("BRIDGE_DATABASE_URL", "postgresql://postgres@localhost:5432/postgres")

imports = ("tasks.orders",)  # importing `tasks` installs the bridge into the app

task_acks_late = True
worker_prefetch_multiplier = 4

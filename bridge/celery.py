"""A ready app: `celery -A bridge worker -B -Q bridge -c 2` is a complete bridge beside any fleet.

The environment alone configures it: `BRIDGE_DATABASE_URL` names Postgres, `CELERY_BROKER_URL` the fleet's broker.
"""

from celery import Celery

from bridge.install import install

app = Celery("bridge")
app.conf.update(worker_prefetch_multiplier=1, task_default_queue="bridge", broker_connection_retry_on_startup=True)
install(app)

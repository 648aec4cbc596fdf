"""A ready app: `celery -A bridge worker -B -Q bridge -c 2` is a complete bridge beside any fleet.

The environment alone configures it: `BRIDGE_DATABASE_URL` names Postgres, `CELERY_BROKER_URL` the fleet's broker.
"""

from bridge.app import ready_app
from bridge.installing import install

app = ready_app()
install(app)

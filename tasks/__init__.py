"""The handlers of the reference deployment: what a user's own code looks like.

They are ordinary Celery tasks that take an event's dict. `@bridge.client` says which of them is a client of the log,
and of which topics; a fleet that does not install the bridge is registered from the command line instead.
"""

from celery import current_app

import bridge

bridge.install(current_app)

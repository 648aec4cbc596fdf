"""Example handlers: ordinary Celery tasks that take an event, as a user's own code would have them.

`@bridge.client` makes a task a client of the log and says which topics it gets. The clients of a fleet that does not
install the bridge are registered from the command line instead.
"""

from celery import current_app

import bridge

bridge.install(current_app)

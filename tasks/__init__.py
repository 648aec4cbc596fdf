"""The handlers of the reference deployment: what a user's own code looks like.

They are ordinary Celery tasks that take an event's dict. Which of them is a client of the log, and of what, is said by
`@bridge.client`; a fleet that does not install the bridge is registered from the command line instead.
"""

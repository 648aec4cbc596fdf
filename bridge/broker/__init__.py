"""All that is borrowed from kombu, Celery and the drivers beyond their documented interfaces, and nothing else.

`internals` uses the borrowed names, `conformance` looks at them before they are used.
"""

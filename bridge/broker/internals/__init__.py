"""Use the inside of kombu, Celery, py-amqp and redis-py. No other code touches names that these keep to themselves.

Every function here was seen to work with Celery 5.4 to 5.7, kombu 5.4 to 5.7, py-amqp 5.2 to 5.4 and redis-py 5.0 to
8.1; its docstring says if it holds for less than that. A function says what breaks without it. `conformance` looks at
these names before a fast way uses them; where one is missing, the portable way needs nothing of this folder.
"""

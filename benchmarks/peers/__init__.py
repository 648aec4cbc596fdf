"""Alternatives to the bridge: a hand-written poller, and task queues that live in Postgres."""

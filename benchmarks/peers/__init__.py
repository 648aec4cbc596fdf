"""What one would use instead: a hand-written poller, and task queues that live in Postgres."""

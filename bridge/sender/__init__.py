"""Station 3, in a bridge worker: deliveries become Celery messages. Nothing else writes them to the broker."""

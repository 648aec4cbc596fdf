"""Station 6, in a bridge worker: outcomes are settled. Deliveries end, are retried or parked, and cursors move."""

"""Station 5, in a bridge worker: outcomes are taken from the broker, many at a time."""

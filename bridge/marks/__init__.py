"""Marks: Postgres and the broker each remember the other, so that a loss of either is seen at once."""

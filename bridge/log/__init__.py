"""Station 1, in the publisher's process: an event is written.

It is appended to `fq.events` in the publisher's own transaction.
"""

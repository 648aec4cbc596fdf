"""Station 1, in the publisher's process: an event is written.

It is appended to `fq.events`, the event log, in the publisher's own transaction. This has nothing to do with logging.
"""

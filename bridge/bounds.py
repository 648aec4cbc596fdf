"""What the bridge stores, sends and shows at most: every bound has its name here, and nowhere else.

The bounds of what is stored stand as constraints in the schema too. A test compares both.
"""

from __future__ import annotations

# What an event, a client or a delivery may be made of, in characters unless the name says otherwise.
TOPIC_CHARACTERS = 255
KEY_CHARACTERS = 512
CLIENT_CHARACTERS = 100
HEADERS_BYTES = 64 * 1024
NESTED_LEVELS = 200  # of a payload: Python's pickle and json recurse once per level, and a worker's limit is 1,000

# What is kept of why a handler failed.
ERROR_TYPE_CHARACTERS = 200
ERROR_MESSAGE_BYTES = 4 * 1024
TRACEBACK_BYTES = 64 * 1024

# How long a handler's `bridge.transaction` waits for the row of its client.
EFFECT_WAIT_SECONDS = 30.0  # for the pass that hands its event over; then the attempt fails
FINISH_WAIT_SECONDS = 5.0  # to have a done event finished; then the end of its lease does that

REVOKED_TASKS = 1_000  # that a pass asks the workers to drop, in one message; a worker keeps the ids for some hours

ASIDE_EVENTS = 10_000  # of one replay that wait aside, a key's as one; beyond them the replay itself waits
REPLAYS_SERVED = 8  # by one pass; the others' turn comes with the next ones

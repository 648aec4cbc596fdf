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

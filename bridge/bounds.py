"""What the bridge stores, sends and shows at most: the bounds that more than one module keeps, or the schema.

A bound that one module keeps alone stands at its head. The bounds of what is stored stand as constraints in the schema
too. A test compares both.
"""

from __future__ import annotations

# What an event, a client or a delivery may be made of, in characters unless the name says otherwise.
TOPIC_CHARACTERS = 255
KEY_CHARACTERS = 512
ID_CHARACTERS = 512  # of what `bridge.publish` takes as `id`
CLIENT_CHARACTERS = 100
QUEUE_BYTES = 255  # of the name of a client's queue: RabbitMQ has no longer ones
LONGEST_DELAY_DAYS = 36_500  # of what `bridge.publish` takes as `deliver_after`
HEADERS_BYTES = 64 * 1024
PAYLOAD_BYTES = 32 * 1024 * 1024  # of what `bridge.publish` takes: jsonb may need six times as much, and ends at 256 MB
CREATED_FROM, CREATED_UNTIL = "1000-01-01", "9999-01-01"  # in UTC: Python reads neither earlier nor later times
TRACE_CHARACTERS = 512  # of `traceparent`, `tracestate` or `sentry-trace`: a longer one is not in a message's headers
BAGGAGE_CHARACTERS = 8192  # of `baggage`, as W3C says
TRACE_HEADERS = 20  # that propagators other than W3C's and Sentry's may add to an event
TRACED_EVENTS = 100  # of one batch that is sent or settled: so many have a span in their trace, and a link to it
TRACING_SECONDS = 1.0  # that the spans of one batch may take; then there are none for `TRACING_PAUSE_SECONDS`
TRACING_PAUSE_SECONDS = 60.0
HEADERS_OF_A_MESSAGE = 16  # that a client asks for, beside Celery's and the bridge's own
HEADER_CHARACTERS = 512  # of each; an event's header that is longer does not travel
NESTED_LEVELS = 200  # of a payload: Python's pickle and json recurse once per level, and a worker's limit is 1,000
INTEGER_DIGITS = 4300  # of a number without a fraction: Python reads no longer one
FLOAT_DIGITS = 308  # before the point: with more, a number with a fraction is infinite to Python

# What is kept of why a handler failed.
ERROR_TYPE_CHARACTERS = 200
ERROR_MESSAGE_BYTES = 4 * 1024
TRACEBACK_BYTES = 64 * 1024
HOST_CHARACTERS = 255  # of a worker's name

# What is kept of each failed attempt beside that: of the last ten of an event, as `fq.with_failure` says too.
KEPT_FAILURES = 10
KEPT_ERROR_CHARACTERS = 1_000
KEPT_TRACEBACK_CHARACTERS = 4_000

# Reasons that came before their outcomes, or while Postgres was away; the oldest go first.
WAITING_REASONS = 10_000
WAITING_REASONS_BYTES = 32 * 1024 * 1024
EVENT_BYTES = 8 * 1024 * 1024  # of a message with events that is read
HEARD_BYTES = 32 * 1024 * 1024  # of messages with events that are read at once
TOLD_BYTES = 1024 * 1024  # of the reasons that travel in one message

# Of how many failures in one batch the result backend is asked why.
REASONS_AT_ONCE = 2_000

# What is kept on the queue `bridge.unreadable`, in each broker; the oldest go first.
UNREADABLE_MESSAGES = 10_000
UNREADABLE_BYTES = 64 * 1024 * 1024
INFLATED_BYTES = 64 * 1024 * 1024  # of a message on the bridge's queue, when it is decompressed

# What a collector takes off the bridge's queue at once, and one message more.
TAKEN_BYTES = 32 * 1024 * 1024

# How many messages a collector keeps aside, because another transaction holds what their outcomes need.
HELD_MESSAGES = 1_000

# What is sent and fetched at once.
BATCH_BYTES = 8 * 1024 * 1024  # the default of `bridge_batch_bytes`
PIECE_BYTES = 256 * 1024  # of a larger body, that are fetched, encoded or sent at once
INLINE_BYTES = 8 * 1024  # of an event that comes along with its slice: a thousand of them are `BATCH_BYTES`
BODY_BYTES = 64 * 1024 * 1024  # of an event that is sent at all, and of a payload that the log takes
COMMAND_BYTES = 1024 * 1024  # of one command to Redis, unless a single message is larger
ORDINARY_BYTES = 4 * 1024  # of a message: every broker takes so many

# How long a handler's `bridge.transaction` waits for the row of its client.
EFFECT_WAIT_SECONDS = 30.0  # for the pass that hands its event over; then the attempt fails
FINISH_WAIT_SECONDS = 5.0  # to have a done event finished; then the end of its lease does that

QUOTED_CHARACTERS = 300  # of what a serializer, a broker or an exporter says, where it is stored or traced

REASON_CHARACTERS = 1_000  # of why somebody did something, in the journal and in a client's state
ORIGIN_CHARACTERS = 200  # of what a message names as its origin, such as gen4711@host

REVOKED_TASKS = 1_000  # that a pass asks the workers to drop, in one message; a worker keeps the ids for some hours

ASIDE_EVENTS = 10_000  # of one replay that wait aside, a key's as one; beyond them the replay itself waits
REPLAYS_SERVED = 8  # by one pass; the others' turn comes with the next ones

# What Flower, and the log of a fleet's worker, show of a delivery.
SHOWN_CHARACTERS = 200  # of its argument
SHOWN_KEY_CHARACTERS = 100

# What a line of the log shows of a text that is not ours, such as a key or a reason.
LOGGED_CHARACTERS = 500
LOGGED_TRACEBACK_CHARACTERS = 20_000  # of a whole message, or a traceback, in JSON

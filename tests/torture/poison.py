"""Events that no worker could read, and errors whose texts nobody could store: each must harm only itself (G10)."""

from __future__ import annotations

import random

LARGEST_MESSAGE_BYTES = 1 << 20  # the least that Redis takes as its own limit: a larger message is refused
DEEP, DEEPER = 900, 1500
EXCEPTIONS = ("nul", "surrogate", "bytes", "long", "silent", "odd type")  # what `fleet.raise_oddly` knows

# By kind, the rest of a payload that begins with `{"odd": "KIND"`. JSON that Postgres takes, and no worker, or the
# broker, does.
ODD = {
    "type": '"x": {"__type__": "money", "__value__": 5}',
    "decimal": '"x": {"__type__": "decimal", "__value__": "1.50"}',
    "exponent": '"x": 1e5000',
    "digits": f'"x": {"7" * 5000}',
    "deep": f'"x": {"[" * DEEP}{"]" * DEEP}',
    "deeper": f'"x": {"[" * DEEPER}{"]" * DEEPER}',
    "large": f'"x": "{"a" * (LARGEST_MESSAGE_BYTES + 1000)}"',
}
# JSON at the edge of what each side takes. It must arrive.
EDGY = (
    '{"n": 18446744073709551616}',
    '{"n": 1e300}',
    f'{{"x": {"[" * 150}{"]" * 150}}}',
    '{"\\u00e9\\ud83d\\ude00": "\\u2028"}',
    f'{{"x": "{"b" * 200_000}"}}',
)


def odd_event(choose: random.Random) -> str:
    """Return a payload that can't be delivered."""
    kind = choose.choice(list(ODD))
    return f'{{"odd": "{kind}", {ODD[kind]}}}'


def edgy_event(choose: random.Random) -> str:
    """Return a payload that can be delivered, though only just."""
    return choose.choice(EDGY)

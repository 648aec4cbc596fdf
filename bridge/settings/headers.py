"""Message headers that a client asks for: how they are written, and which names are not free.

::

    ["tenant", "x_correlation_id:correlation_id", "source=bridge"]

The first is the event's header `tenant`, the second the event's header `correlation_id` under another name, and the
third is the same text on every message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from bridge.bounds import HEADER_CHARACTERS, HEADERS_OF_A_MESSAGE

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)

# Attributes of a task's request, which a worker sets from the headers of a message: what stands there would be lost, or
# would change what the worker does. A test compares this with Celery.
CELERYS = frozenset(
    {
        *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
        *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers"),
        *("stamps", "args", "kwargs", "callbacks", "errbacks", "chain", "chord", "called_directly", "correlation_id"),
        *("delivery_info", "headers", "hostname", "is_eager", "logfile", "loglevel", "properties", "reply_to"),
        *(
            "taskset",
            "time_limit",
            "soft_time_limit",
            "utc",
            "compression",
            "redelivered",
            "request",
            "update",
            "clear",
        ),
        *("get", "execution_options", "as_execution_options", "children"),
    }
)
BROKERS = frozenset({"cc", "bcc"})  # RabbitMQ routes by these
TRACES = frozenset({"traceparent", "tracestate", "baggage", "sentry-trace"})  # go along without being asked for
# So do those of tracers that do not write W3C's, in the spelling of their propagators; each line is of one kind, of
# which a publisher gives all or none. `fq.trace_names` has the same names.
OTHER_TRACES = (
    ("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
    ("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags"),
    ("ot-tracer-traceid", "ot-tracer-spanid", "ot-tracer-sampled"),
    ("uber-trace-id",),  # Jaeger
    ("X-Amzn-Trace-Id",),
    ("x-cloud-trace-context",),
)
OTHER_TRACE_NAMES = frozenset(name for kind in OTHER_TRACES for name in kind)
TRACERS = frozenset(name.lower() for name in TRACES | OTHER_TRACE_NAMES)
RESERVED, BROKERS_OWN = ("bridge_", "_"), ("x-",)


class MessageHeaders(NamedTuple):
    """What a client's messages carry beside the headers of Celery and of the bridge.

    Attributes:
        fixed: Headers that are the same on each message, by name.
        passed: Names of message headers, each with that of the event's header whose value it gets.
    """

    fixed: Mapping[str, str]
    passed: Mapping[str, str]


@lru_cache(maxsize=1024)
def message_headers(entries: tuple[str, ...]) -> MessageHeaders:
    """Read entries that are right."""
    fixed, passed = dict[str, str](), dict[str, str]()
    for entry in entries:
        name, sign, rest = _parts(entry)
        if sign == "=":
            fixed[name] = rest
        else:
            passed[name] = rest or name
    return MessageHeaders(fixed, passed)


def travelling(passed: Mapping[str, str], texts: Sequence[str | None]) -> dict[str, str]:
    """Return what a message gets from its event's headers: what is not there, too long or not printable stays behind.

    Args:
        passed: Names of message headers, each with that of the event's header.
        texts: The values of the event's headers, in the same order; None for one that is not there or too long.
    """
    return {name: text for name, text in zip(passed, texts, strict=False) if text is not None and text.isprintable()}


def entries_of(value: object) -> object:
    """Return headers as they are kept: a mapping of names and texts becomes entries; anything else stays as it is."""
    if isinstance(value, Mapping):
        return tuple(f"{name}={text}" for name, text in value.items())
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def problem_of_headers(value: object) -> str:
    """Return what is wrong with headers; nothing if they are right."""
    if isinstance(value, Mapping) and not all(isinstance(text, str) for text in value.values()):
        return "must be a mapping of names and texts"
    entries = entries_of(value)
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return "must be a list of names such as 'tenant' or 'source=bridge', or a mapping of names and texts"
    if len(entries) > HEADERS_OF_A_MESSAGE:
        return f"must be at most {HEADERS_OF_A_MESSAGE} headers"
    names = set[str]()
    for entry in entries:
        if problem := _problem_of_entry(entry):
            return problem
        name = _parts(entry)[0].lower()
        if name in names:
            return f"header {entry!r} is there twice"
        names.add(name)
    return ""


def is_free(name: str) -> bool:
    """Tell whether a header of this name is neither Celery's, nor the bridge's, nor one that RabbitMQ routes by."""
    return name.lower() not in CELERYS | BROKERS and not name.lower().startswith(RESERVED)


def _problem_of_entry(entry: object) -> str:
    if not isinstance(entry, str):
        return f"{entry!r} is not a header such as 'tenant', 'x_tenant:tenant' or 'source=bridge'"
    name, sign, rest = _parts(entry)
    if not NAME.fullmatch(name):
        return f"{entry!r} is not a header such as 'tenant', 'x_tenant:tenant' or 'source=bridge'"
    if not is_free(name) or name.lower() in TRACERS or name.lower().startswith(BROKERS_OWN):
        return (
            f"header {name!r} is Celery's, the broker's, a tracer's or the bridge's own: "
            f"give the event's header another name, as in 'event_{name.lower().strip('_')}:{rest or name}'"
        )
    if sign and not rest:
        return f"header {entry!r} has nothing after {sign!r}"
    if len(rest) > HEADER_CHARACTERS:
        return f"header {name!r} is longer than {HEADER_CHARACTERS} characters"
    if not rest.isprintable():
        return f"header {name!r} must be printable text"
    return ""


def _parts(entry: str) -> tuple[str, str, str]:
    """Return name, sign and what follows it; the first of `:` and `=` counts."""
    found = re.match(r"([^:=]*)([:=]?)(.*)", entry, re.DOTALL)
    return (found[1], found[2], found[3]) if found else (entry, "", "")

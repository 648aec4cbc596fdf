"""Look at what is borrowed before it is used: a new version of kombu may make the bridge slower, and never stops it.

A fast way rests on names inside kombu, Celery and the drivers, which may change with any release. It is taken only
where they are as they were seen (`tests/broker/test_conformance.py` looks at them in the oldest and in the newest
supported version). Where they are not, one warning in the log says so, and the portable way takes its place.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pkgutil import resolve_name
from typing import NamedTuple

from amqp.exceptions import AccessRefused, ConnectionForced, NotAllowed, ResourceError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from bridge.wording import said

logger = logging.getLogger("bridge.broker")

PACKAGES = ("celery", "kombu", "amqp", "redis")
# Of a broker that is away, or does not let this user do it: nothing is known of the names then.
NOT_TRIED = (OSError, RedisError, OperationalError, AccessRefused, NotAllowed, ConnectionForced, ResourceError)


class Differs(Exception):
    """A borrowed name does something else than it was seen to do."""


class Part(NamedTuple):
    """A name that is borrowed.

    Attributes:
        path: Where it is, as `module:Class.name`.
        takes: How many positional arguments it must take, `self` among them; None if it is not called.
        named: The keyword arguments that it must take.
    """

    path: str
    takes: int | None = None
    named: tuple[str, ...] = ()

    def problem(self) -> str:
        """Say why this part can't be used; an empty string if it can."""
        try:
            found = resolve_name(self.path)
        except (ImportError, AttributeError):
            return f"{self.path} is not there"
        if self.takes is None:
            return ""
        try:
            inspect.signature(found).bind(*[None] * self.takes, **dict.fromkeys(self.named))
        except (TypeError, ValueError) as error:
            return f"{self.path} takes other arguments ({error})"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastWay:
    """Something that the bridge does in a faster way with the help of borrowed names.

    Attributes:
        name: Its name in the log, such as "counting delivery tags".
        instead: The portable way that takes its place, and its cost.
        setting: The setting that switches it off without a warning, if there is one.
        parts: The names that it rests on.
    """

    name: str
    instead: str
    parts: tuple[Part, ...]
    setting: str = ""

    def conforms(self, trial: Callable[[], object] | None = None) -> bool:
        """Tell whether this way may be taken; if not, warn, once in a process and in those that it forks.

        Args:
            trial: Tries it out on live objects, if its parts are there. Any exception but those of a broker that is
                away, or refuses this user, means that they do something else.

        Raises:
            OSError, or one of the broker's errors: the trial could not be made; ask again later.
        """
        problem = problem_of(self) or _outcome_of(trial)
        if problem:
            _warn(self, problem)
        return not problem


@cache
def problem_of(way: FastWay) -> str:
    """Say which part of a fast way is not as it was seen; an empty string if all are."""
    return next(filter(None, (part.problem() for part in way.parts)), "")


def forget() -> None:
    """Look at everything anew, and warn anew."""
    problem_of.cache_clear()
    _warned.clear()


def _outcome_of(trial: Callable[[], object] | None) -> str:
    """Say what went wrong when a fast way was tried out; an empty string if nothing did."""
    if trial is None:
        return ""
    try:
        trial()
    except NOT_TRIED:
        raise
    except Exception as error:  # a version that was never seen may raise anything
        return str(error) if isinstance(error, Differs) else f"{type(error).__name__}: {error}"
    return ""


_warned: set[str] = set()


def _warn(way: FastWay, problem: str) -> None:
    if way.name in _warned:
        return
    _warned.add(way.name)
    logger.warning(
        "%s is off: %s in %s; %s, nothing is lost; please report this line to the bridge's authors%s",
        way.name,
        said(problem),
        ", ".join(f"{package} {version(package)}" for package in PACKAGES),
        way.instead,
        f", and set {way.setting} = False to be rid of it" if way.setting else "",
    )

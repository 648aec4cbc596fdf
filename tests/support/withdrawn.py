"""A newer kombu, played: it keeps names to itself that others have used, or asks these for other arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pkgutil import resolve_name
from typing import Any

from bridge.broker.fast_ways import ALL

FAMILY = ("kombu", "celery", "amqp", "redis")  # these go on using the names
OF_CLASSES = sorted({part.path for way in ALL for part in way.parts if "." in part.path.partition(":")[2]})
METHODS = sorted({part.path for way in ALL for part in way.parts if part.path in OF_CLASSES and part.takes})


class Withdrawn:
    """Takes the place of a class's attribute: no one outside of the family finds it there."""

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = value

    def __get__(self, instance: Any, owner: type) -> Any:
        if not _asked_by_the_family():
            raise AttributeError(f"{owner.__name__} keeps {self._name} to itself")
        get = getattr(type(self._value), "__get__", None)
        return get(self._value, instance, owner) if get is not None else self._value


def withdrawn(path: str) -> tuple[type, str, Withdrawn]:
    """Make an attribute, `module:Class.name`, that no one outside finds; return class, name and value to set."""
    owner, name, value = _found(path)
    return owner, name, Withdrawn(name, value)


def changed(path: str) -> tuple[type, str, Any]:
    """Make a method that wants one more argument of those outside; return class, name and value to set."""
    owner, name, was = _found(path)

    @wraps(was)
    def now(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _asked_by_the_family():
            raise TypeError(f"{name}() missing 1 required keyword-only argument: 'why'")
        return was(self, *args, **kwargs)

    def wanted(self: Any, *args: Any, why: str, **kwargs: Any) -> None:
        """Have the arguments that `inspect.signature` says."""

    now.__wrapped__ = wanted
    return owner, name, now


def withdraw_all() -> None:
    """Withdraw every attribute that the bridge borrows, for the rest of this process, a worker's."""
    for path in OF_CLASSES:
        setattr(*withdrawn(path))


def _found(path: str) -> tuple[type, str, Any]:
    place, _, name = path.rpartition(".")
    owner: type = resolve_name(place)
    value = next(vars(base)[name] for base in owner.__mro__ if name in vars(base))
    return owner, name, value


def _asked_by_the_family() -> bool:
    """Tell whether the family's own code has asked for the attribute, or calls the method."""
    here = inspect.currentframe()
    asked: Callable[[Any], Any] = lambda frame: frame.f_back  # noqa: E731
    asking = asked(asked(here))
    return asking is not None and asking.f_globals.get("__name__", "").partition(".")[0] in FAMILY

"""The bridge's settings: `bridge_*` keys of a Celery app's configuration, overridable by `BRIDGE_*` in the environment.

They are read and checked once; a setting that can't be used is named together with where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from bridge.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; in a Celery configuration each name has the prefix `bridge_`.

    Attributes:
        database_url: Postgres, as `postgresql://user:password@host:5432/database`.
        queue: Queue of the bridge's own tasks: pump, commit, fail and settle.
        secret: Key that signs the callbacks; by default a random one that the database keeps.
        interval_seconds: How often beat starts the pump.
        linger_seconds: How long a pump goes on looking for new events after it has handed over all there were;
            0 lets every tick return at once.
        poll_seconds: How often a lingering pump looks.
        pass_limit: Most events that one pass hands over to one client.
        collector: Whether workers that consume the bridge's queue settle outcomes in batches.
        stencil: Whether messages are cut from a stencil where nobody could tell the difference (json on Redis).
        joined_acks: Whether workers that import the bridge tell Redis of many messages at once.
        joined_callbacks: Whether such workers publish the callbacks of many tasks in one message.
        connect_timeout_seconds: For Postgres and for the broker.
        statement_timeout_seconds: Longest that one statement, or waiting for one lock, may take.
    """

    database_url: str = ""
    queue: str = "bridge"
    secret: str = ""
    interval_seconds: float = 1.0
    linger_seconds: float = 5.0
    poll_seconds: float = 0.01
    pass_limit: int = 2000
    collector: bool = True
    stencil: bool = True
    joined_acks: bool = True
    joined_callbacks: bool = True
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 60.0

    @classmethod
    def read(cls, conf: Mapping[str, Any], environ: Mapping[str, str]) -> Self:
        """Take each setting from the environment, else from the configuration, else its default.

        Raises:
            ConfigurationError: a value has the wrong type or is out of range.
        """
        values: dict[str, Any] = {}
        for spec in fields(cls):
            key, variable = f"bridge_{spec.name}", f"BRIDGE_{spec.name.upper()}"
            if environ.get(variable):
                values[spec.name] = _convert(environ[variable], spec.default, f"{variable} in the environment")
            elif conf.get(key) is not None:
                values[spec.name] = _convert(conf[key], spec.default, f"setting {key}")
        return cls(**values)

    def need_database_url(self) -> str:
        """The database's URL.

        Raises:
            ConfigurationError: none is set.
        """
        if not self.database_url:
            raise ConfigurationError(
                "no database is set: put bridge_database_url into the Celery configuration, or BRIDGE_DATABASE_URL "
                "into the environment, as postgresql://user:password@host:5432/database"
            )
        return self.database_url


def _convert(value: object, default: object, where: str) -> object:
    """The value in the type of its default; numbers must be above zero."""
    if isinstance(default, bool):
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if str(value).lower() not in words:
            raise ConfigurationError(f"{where} is {value!r}: must be true or false")
        return words[str(value).lower()]
    if isinstance(default, int | float):
        try:
            number = type(default)(str(value))
        except ValueError:
            raise ConfigurationError(f"{where} is {value!r}: must be a number such as {default}") from None
        if not 0 <= number < float("inf") or (number == 0 and "linger" not in where.lower()):
            raise ConfigurationError(f"{where} is {value!r}: must be above 0")
        return number
    if not isinstance(value, str):
        raise ConfigurationError(f"{where} is {value!r}: must be text")
    return value

"""The bridge's settings: `bridge_*` keys of a Celery app's configuration, overridable by `BRIDGE_*` in the environment.

They are read and checked once. A setting that can't be used is named together with the place that it came from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, Self

from bridge.bounds import BATCH_BYTES
from bridge.errors import ConfigurationError
from bridge.settings.amount import bytes_of, seconds_of
from bridge.settings.database import found_database_url
from bridge.settings.setting import About, Setting, settings_of

LogFormat = Literal["text", "json"]

PREFIX = "bridge_"
LISTED = "`eventbridge about settings` lists those that there are"
RENAMED = {"batch": "pass_limit"}
SECRET = ("database_url", "secret", "archive")  # may hold a password: no message shows what they are
NEAR = 0.8  # of 1: names that differ by a letter or two; BRIDGE_TEST_POSTGRES and BRIDGE_IMAGE are not near any setting

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """Everything that can be set; in a Celery configuration each name has the prefix `bridge_`."""

    database_url: Annotated[str, About("Postgres, as `postgresql://user:password@host:5432/database`.")] = field(
        default="", repr=False
    )
    queue: Annotated[str, About("Queue of the bridge's own tasks: pump, commit, fail and settle.")] = "bridge"
    secret: Annotated[
        str, About("Key that signs the callbacks; where empty, a random one that the database keeps.")
    ] = field(default="", repr=False)
    interval_seconds: Annotated[
        float, About("How often beat starts the pump, which also starts with each bridge worker.", above=0)
    ] = 10.0
    linger_seconds: Annotated[
        float, About("How long a tick looks for more, longer than the interval; 0: it hands over what there is.")
    ] = 15.0
    poll_seconds: Annotated[float, About("How often a tick that lingers looks, inside Postgres.", above=0)] = 0.01
    pass_limit: Annotated[int, About("Most events that one pass hands over to one client.", least=1)] = 2000
    batch_bytes: Annotated[
        int, About("Most bytes of events that are fetched, or sent, at once; one event may be more.", least=1)
    ] = BATCH_BYTES
    collector: Annotated[
        bool, About("Settle outcomes many at a time (Redis, RabbitMQ); else each callback runs as a task.")
    ] = True
    find_lost: Annotated[
        bool, About("Find messages that are lost (Redis, RabbitMQ) before their leases end, and hand over again.")
    ] = True
    failure_events: Annotated[
        bool, About("Listen to the `task-failed` events of workers that send events: why events are parked.")
    ] = True
    enable_events: Annotated[
        bool,
        About("Have all workers on the broker send their events, as Flower does; it costs them up to a fourth."),
    ] = False
    stencil: Annotated[
        bool,
        About("Cut whole messages from a stencil on Redis (json); else only their bodies, and kombu publishes."),
    ] = True
    joined_acks: Annotated[
        bool, About("Record and ack events on Redis many at a time, in workers with the bridge in them.")
    ] = True
    joined_callbacks: Annotated[
        bool, About("Publish many callbacks in one message, in workers with the bridge in them.")
    ] = True
    connect_timeout_seconds: Annotated[
        float, About("Longest wait for Postgres or the broker; twice as long for many messages.", above=0)
    ] = 5.0
    statement_timeout_seconds: Annotated[
        float, About("Longest that one statement, or one wait for a lock, may take.", above=0)
    ] = 60.0

    show_payload: Annotated[
        bool,
        About("Show the beginning of each event's payload in Flower and in workers' logs, as Celery shows arguments."),
    ] = True
    log_format: Annotated[
        LogFormat, About("How workers and beat write their log: `text`, as Celery does, or `json`, one object a line.")
    ] = "text"
    lag_limit: Annotated[
        str,
        About(
            "How old a client's oldest unfinished event may grow, as `10min`, before it is warned of; empty: no limit.",
            read=seconds_of,
        ),
    ] = ""
    keep: Annotated[
        str,
        About(
            "How long events are kept, as `30d`: what is older and needed no more is removed; empty: for ever.",
            read=seconds_of,
        ),
    ] = ""
    archive: Annotated[
        str,
        About("Directory or URL, as `s3://bucket/events`, where pruning archives what it removes; empty: nowhere."),
    ] = field(default="", repr=False)
    log_limit: Annotated[
        str,
        About(
            "How large the log may grow, as `200GB`: from four fifths on it is warned of; empty: no limit.",
            read=bytes_of,
        ),
    ] = ""

    metrics_port: Annotated[int, About("Port at which a bridge worker answers Prometheus; 0: none.", most=65535)] = 0
    metrics_address: Annotated[str, About("Address where it listens; `0.0.0.0` is every one.")] = "127.0.0.1"
    metrics_otlp: Annotated[
        bool, About("Push metrics by OTLP from a bridge worker, to where `OTEL_EXPORTER_OTLP_ENDPOINT` says.")
    ] = False

    @classmethod
    def read(cls, conf: Mapping[str, Any], environ: Mapping[str, str]) -> Self:
        """Take each setting from the environment, else from the configuration, else its default.

        An unknown `bridge_*` key is ignored with a warning, and so is a variable whose name is nearly a setting's.

        Raises:
            ConfigurationError: a value has the wrong type or is out of range.
        """
        for warning in _unknown(conf, environ):
            _warn_once(warning)
        values: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            key, variable = PREFIX + name, (PREFIX + name).upper()
            if environ.get(variable):
                values[name] = _usable(setting, environ[variable], f"{variable} in the environment")
            elif conf.get(key) is not None:
                values[name] = _usable(setting, conf[key], f"setting {key}")
        settings = cls(**values)
        if 0 < settings.linger_seconds < settings.interval_seconds:
            _warn_once(
                f"bridge_linger_seconds ({settings.linger_seconds:g}) is shorter than bridge_interval_seconds "
                f"({settings.interval_seconds:g}): events that come in between wait for the next tick"
            )
        return settings

    def need_database_url(self) -> str:
        """Return the database's URL: the setting, else the one that the framework knows of (Django's `DATABASES`).

        Raises:
            ConfigurationError: none is set.
        """
        url = self.database_url or found_database_url()
        if not url:
            raise ConfigurationError(
                "no database is set: put bridge_database_url into the Celery configuration, or BRIDGE_DATABASE_URL "
                "into the environment, as postgresql://user:password@host:5432/database"
            )
        return url


SETTINGS: Mapping[str, Setting] = settings_of(BridgeSettings)


@cache
def _warn_once(warning: str) -> None:
    """Log a warning, once per process: a process reads its settings more than once."""
    logger.warning(warning)


def _usable(setting: Setting, value: object, where: str) -> Any:
    """Return a configured value in the type of its setting; a number or a switch may be given as text."""
    try:
        read = value if setting.kind == "text" else setting.from_text(str(value))
        if problem := setting.problem(read):
            raise ValueError(problem)
    except ValueError as error:
        shown = "can't be used" if setting.name in SECRET else f"is {value!r}"
        raise ConfigurationError(f"{where} {shown}: {error}") from None
    return read


def _unknown(conf: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Tell of each key that looks like a setting and is none."""
    for key in conf:
        name = key.removeprefix(PREFIX)
        if name != key and name not in SETTINGS:
            advice = f"did you mean {PREFIX}{meant}?" if (meant := _meant(name)) else LISTED
            yield f"setting {key} is unknown and ignored: {advice}"
    for variable in environ:
        name = variable.removeprefix(PREFIX.upper()).lower()
        # A variable that is near no setting may be meant for another program.
        if variable.startswith(PREFIX.upper()) and name not in SETTINGS and (meant := _meant(name)):
            yield f"{variable} in the environment is unknown and ignored: did you mean {(PREFIX + meant).upper()}?"


def _meant(name: str) -> str | None:
    """Return the setting that a wrong name comes near to."""
    return RENAMED.get(name) or next(iter(get_close_matches(name, SETTINGS, 1, NEAR)), None)

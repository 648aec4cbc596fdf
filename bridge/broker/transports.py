"""Say which package a broker's transport lacks, and how to get it: kombu's own word is the name of a module.

kombu has a transport for each kind of broker and needs another package for most of them. Celery's extras name these.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery

from bridge.errors import ConfigurationError
from bridge.wording import one_line

# By the scheme of the broker's URL: what `pip install` takes, and the package that is imported.
PACKAGES = {
    "sqs": ("celery[sqs]", "boto3"),
    "mongodb": ("celery[mongodb]", "pymongo"),
    "gcpubsub": ("celery[gcpubsub]", "google-cloud-pubsub"),
    "zookeeper": ("celery[zookeeper]", "kazoo"),
    "consul": ("celery[consul]", "python-consul2"),
    "etcd": ("kombu[etcd]", "python-etcd"),
    "sqlalchemy": ("celery[sqlalchemy]", "sqlalchemy"),
    "azureservicebus": ("kombu[azureservicebus]", "azure-servicebus"),
    "azurestoragequeues": ("kombu[azurestoragequeues]", "azure-storage-queue"),
    "confluentkafka": ("kombu[confluentkafka]", "confluent-kafka"),
    "pgmq": ("kombu[pgmq]", "pgmq"),
    "librabbitmq": ("celery[librabbitmq]", "librabbitmq"),
    "pyro": ("celery[pyro]", "pyro4"),
    "slmq": ("celery[slmq]", "softlayer_messaging"),
    "qpid": ("kombu[qpid]", "qpid-python"),
}
LATE = {"sqs": ("boto3", "pycurl"), "pyro": ("Pyro4",), "slmq": ("softlayer_messaging",)}  # missed on connecting only
WITHOUT_CURL = "kombu.asynchronous.http.urllib3_client"  # a kombu that has it needs no pycurl
ALIASES = {"kafka": "confluentkafka", "sqla": "sqlalchemy"}
TIMED = ("redis", "amqp")  # transports, by `driver_type`, that take such options
ANSWER_SECONDS = 20.0  # for which Celery's own connections in a bridge worker wait for an answer of Redis
MOST_SAID_CHARACTERS = 200
MALFORMED = (
    "the broker's URL can't be read: it is redis://:password@host:6379/0, or amqp://user:password@host//, say; in a "
    "password write / as %2F, # as %23, ? as %3F, @ as %40 and : as %3A"
)

_added: WeakKeyDictionary[Celery, dict[str, Any]] = WeakKeyDictionary()  # by `bound_celery`


def broker_is_set(app: Celery) -> bool:
    """Tell whether an app names a broker; where it does not, Celery takes a RabbitMQ on this machine."""
    return bool(app.conf.broker_url or app.conf.broker_write_url)


def why_missing(app: Celery) -> str:
    """Say what an app's broker needs that is not here; an empty string if nothing is missing. It does not connect."""
    scheme = _scheme(app)
    try:
        _ = app.connection_for_write().transport
        _look_for(LATE.get(scheme, ()))
    except KeyError as error:  # kombu's, for a scheme that it does not know
        return f"the broker's URL can't be used: {_said(error)}: `eventbridge about brokers` lists what can"
    except ValueError:  # its words quote a part of the URL, which may be the password
        return MALFORMED
    except Exception as error:  # some transports fail with other errors than ImportError
        install, package = PACKAGES.get(ALIASES.get(scheme, scheme), ("", ""))
        package = "pycurl" if getattr(error, "name", "") == "pycurl" else package
        if not install:
            return f"the broker's URL can't be used: {_said(error)}"
        return (
            f"a broker at {scheme}:// needs the package {package}, which is missing or can't be loaded "
            f"({_said(error)}): pip install '{install}'"
        )
    return ""


def bounded(app: Celery, **seconds: float) -> dict[str, float]:
    """Return transport options that bound waits, where the app's transport knows them; SQLAlchemy's refuses them.

    An app's own limit counts instead. "No limit" is none: a server that has vanished says nothing for ever. What
    `bound_celery` has set is not the app's own either. What is called `socket_timeout` on Redis bounds each wait on
    RabbitMQ, too: one that is short of memory does not even answer a goodbye where something was published.

    Args:
        app: Its broker, and its `broker_transport_options`, are looked at.
        **seconds: By option, such as `socket_timeout`: how long to wait where the app has no limit.
    """
    kind = app.connection_for_write().transport.driver_type
    if kind not in TIMED:
        return {}
    if kind == "amqp" and "socket_timeout" in seconds:
        seconds = dict.fromkeys(("read_timeout", "write_timeout"), seconds["socket_timeout"]) | seconds
    added = _added.get(app, {})
    own = {name: value for name, value in app.conf.broker_transport_options.items() if name not in added}
    return {name: own.get(name) or limit for name, limit in seconds.items()}


def bound_celery(app: Celery) -> None:
    """Bound what Celery itself waits for on Redis, in this process and its children, where the app sets no limit.

    A Redis that vanishes without a word, behind a proxy say, answers nothing and ends nothing. Celery's consumer would
    wait for it as long as its process lives. On RabbitMQ heartbeats tell. Options that the app has are left alone.
    """
    if app.connection_for_read().transport.driver_type != "redis":
        return
    own = app.conf.broker_transport_options
    added = {name: value for name, value in _celery_s_bounds().items() if own.get(name) is None}
    app.conf.broker_transport_options = {**own, **added}
    _added[app] = {**_added.get(app, {}), **added}


def _celery_s_bounds() -> dict[str, Any]:
    """Return transport options of Redis: how long to wait for an answer, and for a sign that the other end is there.

    The system's own keepalive asks for the first time after two hours.
    """
    asks = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
    known = {getattr(socket, name): value for name, value in asks.items() if hasattr(socket, name)}
    return {"socket_timeout": ANSWER_SECONDS, "socket_keepalive": True, "socket_keepalive_options": known}


def amazons_code(error: Any) -> str:
    """Return the code of an error that Amazon has answered with, such as `InvalidParameterValue`; empty for others."""
    response = getattr(error, "response", None)
    said = response.get("Error") if isinstance(response, dict) else None
    return str(said.get("Code", "")) if isinstance(said, dict) else ""


def _look_for(modules: Sequence[str]) -> None:
    """See that modules are there, without importing them.

    Raises:
        ImportError: one is not.
    """
    for name in modules:
        if find_spec(name) is None and not (name == "pycurl" and find_spec(WITHOUT_CURL)):
            raise ImportError(f"no module named {name!r}", name=name)


def _scheme(app: Celery) -> str:
    """Return how the broker's URL begins, such as `sqs`; of several, the first one's."""
    url = app.conf.broker_write_url or app.conf.broker_url or ""
    first = url if isinstance(url, str) else str(next(iter(url), ""))
    return first.partition("://")[0].partition("+")[0].strip().lower()


def need_transport(app: Celery) -> None:
    """See that the package for an app's broker is here.

    Raises:
        ConfigurationError: it is not; the message names it, and what installs it.
    """
    if why := why_missing(app):
        raise ConfigurationError(why)


def _said(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error  # str() of one is a repr
    return one_line(text, most=MOST_SAID_CHARACTERS).rstrip(".")

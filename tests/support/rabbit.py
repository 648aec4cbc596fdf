"""Run a throw-away RabbitMQ of the Debian package, with a virtual host for each test."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import psutil
import pytest

from bridge.demo.servers.server import enter_on_free_port, free_port, server
from bridge.errors import BridgeError
from tests.support.servers import missing

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
INSTALL = "run scripts/servers as root, or install your system's package rabbitmq-server"
HOSTS = 40  # virtual hosts, made when the server starts: a later one costs a second, and each some idle work


_environments: dict[int, dict[str, str]] = {}  # of the servers that run, by their ports


def control(url: str, *command: str) -> str:
    """Run `rabbitmqctl` on the server at this URL; return what it printed. It takes a second or two."""
    port = urlsplit(url).port or 0
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **_environments[port]}
    node = f"test-{port}@localhost"
    ctl = [str(PROGRAM.with_name("rabbitmqctl")), "--quiet", "-n", node, *command]
    return subprocess.run(ctl, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def alarm(url: str) -> Iterator[None]:
    """Let the server be short of memory."""
    control(url, "set_vm_memory_high_watermark", "0.0000001")
    try:
        yield
    finally:
        control(url, "set_vm_memory_high_watermark", "0.9")


@contextmanager
def no_more(url: str, what: str) -> Iterator[None]:
    """Let a virtual host take no `connections`, or no `queues`, beside those that it has."""
    control(url, "set_vhost_limits", "-p", _host_of(url), json.dumps({f"max-{what}": 0}))
    try:
        yield
    finally:
        control(url, "clear_vhost_limits", "-p", _host_of(url))


def connections(url: str) -> int:
    """Count the connections that the server has in a virtual host."""
    return control(url, "list_connections", "vhost").split().count(_host_of(url))


def _host_of(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def lose_host(url: str) -> None:
    """Delete a virtual host with all that is in it, and make it anew, empty."""
    host = _host_of(url)
    control(url, "eval", f'rabbit_vhost:delete(<<"{host}">>, <<"test">>), ' + _making(host))


def _making(host: str) -> str:
    allow = f'<<"guest">>, <<"{host}">>, <<".*">>, <<".*">>, <<".*">>, <<>>'
    return f'rabbit_vhost:add(<<"{host}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions({allow}).'


def installed() -> str:
    """Return the path of the program, or how to get it."""
    return str(PROGRAM) if PROGRAM.exists() else f"none ({INSTALL})"


@contextmanager
def rabbitmq(directory: Path, *, configuration: str = "") -> Iterator[Callable[[], str]]:
    """Run a RabbitMQ, and its port mapper, both on 127.0.0.1.

    Args:
        directory: For its files.
        configuration: More lines of its `rabbitmq.conf`.

    Yields:
        A function that returns the URL of an empty virtual host, another one each time.
    """
    if not PROGRAM.exists():
        missing(f"RabbitMQ is not installed: {INSTALL}")
    with ExitStack() as stack:
        try:
            mapper = enter_on_free_port(stack, lambda port: _mapper(port, directory))
            port = enter_on_free_port(
                stack,
                lambda port: _broker(
                    port, mapper=mapper, distribution=free_port(), directory=directory, more=configuration
                ),
            )
        except BridgeError as error:
            pytest.exit(f"RabbitMQ did not start: {error}", returncode=1)
        numbers = itertools.count()

        def next_host() -> str:
            number = next(numbers)
            url = f"amqp://guest:guest@127.0.0.1:{port}/{_host(number)}"
            if number >= HOSTS:
                control(url, "eval", _making(_host(number)))
            return url

        yield next_host


def _host(number: int) -> str:
    return f"test-{number}"


def _mapper(port: int, directory: Path) -> AbstractContextManager[int]:
    """Run Erlang's port mapper; without one of our own the server would leave a daemon behind."""
    return server(
        "epmd",
        ["epmd", "-port", str(port), "-address", "127.0.0.1"],
        is_ready=lambda pid: _listens(pid, port),
        log=directory / "epmd.log",
        directory=directory,
        stop=signal.SIGKILL,
        orphaned=signal.SIGKILL,
    )


def _broker(port: int, *, mapper: int, distribution: int, directory: Path, more: str) -> AbstractContextManager[int]:
    home = directory / f"rabbitmq-{port}"
    home.mkdir()
    definitions = home / "definitions.json"
    definitions.write_text(json.dumps(_definitions()))
    configuration = home / "rabbitmq.conf"
    configuration.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {definitions}\n"
        f"disk_free_limit.absolute = 1MB\n{more}\n"
    )
    env = {
        "HOME": home,
        "ERL_EPMD_PORT": mapper,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "true",  # replace the start script's shell by the server
        "RABBITMQ_NODENAME": f"test-{port}@localhost",
        "RABBITMQ_DIST_PORT": distribution,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": configuration,
        "RABBITMQ_CONF_ENV_FILE": home / "none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": home / "plugins",
        "RABBITMQ_MNESIA_BASE": home / "data",
        "RABBITMQ_LOG_BASE": home,
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": home / "pid",
    }
    _environments[port] = {name: str(env[name]) for name in ("HOME", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS")}
    return server(
        "rabbitmq",
        ["env", *(f"{name}={value}" for name, value in env.items()), str(PROGRAM)],
        is_ready=lambda pid: _answers(pid, port),
        log=home / "server.log",
        directory=home,
        stop=signal.SIGKILL,  # there is nothing in it to save
        orphaned=signal.SIGKILL,
    )


def _definitions() -> dict[str, object]:
    hosts = [_host(number) for number in range(HOSTS)]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
        "vhosts": [{"name": host} for host in hosts],
        "permissions": [{"user": "guest", "vhost": host, **everything} for host in hosts],
    }


def _listens(pid: int, port: int) -> bool:
    """Tell whether this very process listens there; another may have taken the port first."""
    with suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return any(it.laddr.port == port and it.status == psutil.CONN_LISTEN for it in found)
    return False


def _answers(pid: int, port: int) -> bool:
    if not _listens(pid, port):
        return False
    try:
        with amqp.Connection(f"127.0.0.1:{port}", virtual_host=_host(HOSTS - 1), connect_timeout=5):
            return True
    except (OSError, amqp.AMQPError):
        return False

"""The address of a database: all that libpq takes, as a URL or as keywords and values.

libpq itself reads it, so what it says about hosts, ports, sockets, services, password files and TLS holds here too.
Nothing of an address that can't be read is repeated in a message: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.errors import ConfigurationError

SCHEME = re.compile(r"\s*(?:(?P<backend>[a-zA-Z][\w.-]*)(?:\+\w+)?:)?//")
POSTGRES = ("postgres", "postgresql")
EXAMPLE = "postgresql://user:password@host:5432/database, or libpq's keywords as in 'host=/run/postgresql dbname=shop'"
PLAIN = ("user", "password", "host", "port", "dbname")
ESCAPED = "in a user or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F and % as %25"
UNKNOWN_OPTION = re.compile(r'invalid (?:URI query parameter|connection option)[^"]*"(\w+)"')


class Address(NamedTuple):
    """An address that was read.

    Attributes:
        plain: `user`, `password`, `host`, `port`, `dbname`, as far as there are such: the parts of a URL.
        options: Everything else, by the keywords of libpq. Where a URL can't hold a part, as with several hosts, all is
            in here.
    """

    plain: Mapping[str, str]
    options: Mapping[str, str]


def read_address(text: str) -> Address:
    """Read an address; any driver that a URL names, as in `postgresql+psycopg2://`, is left out.

    Raises:
        ConfigurationError: libpq can't read it, or it names another kind of database.
    """
    if not text.strip():
        raise ConfigurationError(f"bridge_database_url is empty: the bridge needs {EXAMPLE}")
    found = SCHEME.match(text)
    if found is not None:
        backend = (found["backend"] or "").lower()
        if backend not in POSTGRES:
            named = f"names {backend}" if backend else "is not a URL"
            raise ConfigurationError(f"bridge_database_url {named}: the bridge needs {EXAMPLE}")
        text = f"postgresql://{text[found.end() :]}"
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(text.strip()).items() if value is not None}
        _check_ports(parts.get("port", ""))
    except (psycopg.Error, ValueError) as error:
        unknown = UNKNOWN_OPTION.search(str(error))
        why = f"libpq knows no option {unknown[1]}" if unknown else f"libpq can't read it: {ESCAPED}"
        raise ConfigurationError(f"bridge_database_url is wrong, {why}: the bridge needs {EXAMPLE}") from None
    if found is not None and _is_cut(parts):
        raise ConfigurationError(f"bridge_database_url is cut in a wrong place, as by a password: {ESCAPED}")
    several = any("," in parts.get(name, "") for name in ("host", "port", "hostaddr"))
    plain = {} if several else {name: parts[name] for name in PLAIN if name in parts}
    return Address(plain, {name: value for name, value in parts.items() if name not in plain})


def _check_ports(ports: str) -> None:
    """Refuse what libpq only refuses when it connects."""
    for port in filter(None, ports.split(",")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise ConfigurationError(f"bridge_database_url has a port that is no number from 1 to 65535: {ESCAPED}")


def _is_cut(parts: Mapping[str, str]) -> bool:
    """Tell whether a part of a URL holds what belongs to a password with a sign in it that ends a part.

    Example: of `u:p@ss@host/db` libpq takes `ss@host` for the host, and would print it as one that it can't find.
    """
    host, database = parts.get("host", ""), parts.get("dbname", "")
    return ("@" in host and not host.startswith(("/", "@"))) or ("@" in database and "user" not in parts and bool(host))

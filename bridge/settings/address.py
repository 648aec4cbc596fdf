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
        why = f"libpq knows no option {unknown[1]}" if unknown else "libpq can't read it"
        raise ConfigurationError(f"bridge_database_url is wrong, {why}: the bridge needs {EXAMPLE}") from None
    several = any("," in parts.get(name, "") for name in ("host", "port", "hostaddr"))
    plain = {} if several else {name: parts[name] for name in PLAIN if name in parts}
    return Address(plain, {name: value for name, value in parts.items() if name not in plain})


def _check_ports(ports: str) -> None:
    """Refuse what libpq only refuses when it connects."""
    for port in filter(None, ports.split(",")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise ConfigurationError(
                "bridge_database_url has a port that is no number from 1 to 65535: "
                "in a password write / as %2F, @ as %40 and : as %3A"
            )

"""Throw-away servers for the demo and the tests: a Postgres and a Redis that nobody has to install.

A server lives exactly as long as its ``with`` block, also when that ends by an exception or Ctrl-C; on Linux
the kernel stops it when the thread that started it dies, even by ``kill -9``. All that outlives a server is
its log. The servers listen on 127.0.0.1 without a password: data that matters has no place in them.
"""

from bridge.demo.servers.postgres_server import postgres, postgres_versions
from bridge.demo.servers.redis_server import redis

__all__ = ["postgres", "postgres_versions", "redis"]

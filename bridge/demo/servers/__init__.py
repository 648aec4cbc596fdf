"""Throw-away servers for the demo and the tests: a Postgres and a Redis that need no installation but the extra.

A server lives exactly as long as its ``with`` block, also when that ends by an exception or Ctrl-C. On Linux the kernel
stops it when the thread that started it ends, even by ``kill -9``. Only its log outlives it. The servers listen on
127.0.0.1 and ask for no password: keep data that matters away from them.
"""

from bridge.demo.servers.postgres_server import postgres_versions, run_postgres
from bridge.demo.servers.redis_server import run_redis

__all__ = ["postgres_versions", "run_postgres", "run_redis"]

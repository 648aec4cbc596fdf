"""A bridge and its broker, whose marks a test loses, and a server for it to lose them on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.marks.shop import MakeShop, Shop
from tests.support.world import World


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty broker, one of each kind in turn."""
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "amqp_url")
    return url


@pytest.fixture
def make_shop(world: World, database: str) -> Iterator[MakeShop]:
    """Return a factory of bridges, each as if in a process of its own."""
    with ExitStack() as stack:

        def make_shop(broker: str, *, database: str = database, world: World = world, **settings: object) -> Shop:
            return stack.enter_context(Shop(world, database, broker, **settings))

        yield make_shop


@pytest.fixture
def shop(make_shop: MakeShop, broker_url: str) -> Shop:
    """Return a bridge on an empty broker."""
    return make_shop(broker_url)

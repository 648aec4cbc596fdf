"""Under which address Postgres remembers a broker: the same for one broker, another one for another."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from bridge.broker.marks import address


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("redis://:secret@h:1/3", {}, "redis://h:1/3"),
        ("redis://h:2/0;redis://h:1/0", {}, "redis://h:1/0;redis://h:2/0"),
        ("sentinel://b:1;sentinel://a:1", {"master_name": "orders"}, "sentinel://a:1;sentinel://b:1 (orders)"),
        ("sentinel://a:1;sentinel://b:1", {"master_name": "mails"}, "sentinel://a:1;sentinel://b:1 (mails)"),
    ],
)
def test_g6_an_address_names_one_broker_and_no_password(url: str, options: dict[str, Any], expected: str) -> None:
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.broker_transport_options = options
    assert address(app) == expected

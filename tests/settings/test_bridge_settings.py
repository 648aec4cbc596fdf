"""The bridge's settings: where they are read from, and what is said of one that is wrong or unknown."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.errors import ConfigurationError
from bridge.settings.bridge import BridgeSettings

REFUSED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"bridge_pass_limit": 0}, {}, "setting bridge_pass_limit is 0: must be a whole number from 1 to 2000000000"),
    ({"bridge_pass_limit": "2.5"}, {}, "setting bridge_pass_limit is '2.5': must be a whole number such as 2000"),
    ({"bridge_poll_seconds": 0}, {}, "setting bridge_poll_seconds is 0: must be a number above 0"),
    ({"bridge_poll_seconds": True}, {}, "setting bridge_poll_seconds is True: must be a number such as 0.01"),
    ({"bridge_linger_seconds": -1}, {}, "setting bridge_linger_seconds is -1: must be a number from 0"),
    ({"bridge_interval_seconds": "nan"}, {}, "setting bridge_interval_seconds is 'nan': must be a number above 0"),
    ({"bridge_queue": ""}, {}, "setting bridge_queue is '': must be text, not empty"),
    ({"bridge_database_url": 7}, {}, "setting bridge_database_url can't be used: must be text"),
    ({"bridge_collector": "perhaps"}, {}, "setting bridge_collector is 'perhaps': must be true or false"),
    ({}, {"BRIDGE_POLL_SECONDS": "often"}, "BRIDGE_POLL_SECONDS in the environment is 'often': must be a number such"),
]


def test_the_environment_goes_before_the_configuration_and_that_before_the_default() -> None:
    settings = BridgeSettings.read(
        {"bridge_queue": "q", "bridge_pass_limit": "7", "bridge_collector": "off", "bridge_linger_seconds": 0},
        {"BRIDGE_PASS_LIMIT": "9", "BRIDGE_QUEUE": "", "BRIDGE_STENCIL": "False"},
    )
    assert (settings.queue, settings.pass_limit, settings.linger_seconds) == ("q", 9, 0.0)
    assert (settings.collector, settings.stencil, settings.joined_acks) == (False, False, True)
    assert settings.poll_seconds == 0.01


@pytest.mark.parametrize(("conf", "environ", "told"), REFUSED, ids=[told for _, _, told in REFUSED])
def test_a_setting_that_cannot_be_used_is_named_with_where_it_came_from(
    conf: dict[str, Any], environ: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        BridgeSettings.read(conf, environ)
    assert str(refused.value).startswith(told)


def test_without_a_database_it_is_said_where_to_put_one() -> None:
    with pytest.raises(ConfigurationError, match="put bridge_database_url into the Celery configuration"):
        BridgeSettings().need_database_url()


def test_an_unknown_setting_is_ignored_with_a_warning_that_names_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    read = BridgeSettings.read(
        {"bridge_pol_seconds": 5, "bridge_batch": 5, "bridge_colour": 1, "broker_url": "x"},
        {"BRIDGE_BATCH": "5", "BRIDGE_DATABASEURL": "x", "BRIDGE_IMAGE": "x", "BRIDGE_TEST_POSTGRES": "x", "PATH": "x"},
    )
    assert read == BridgeSettings()
    assert [record.getMessage() for record in caplog.records] == [
        "setting bridge_pol_seconds is unknown and ignored: did you mean bridge_poll_seconds?",
        "setting bridge_batch is unknown and ignored: did you mean bridge_pass_limit?",
        "setting bridge_colour is unknown and ignored: `eventbridge about settings` lists those that there are",
        "BRIDGE_BATCH in the environment is unknown and ignored: did you mean BRIDGE_PASS_LIMIT?",
        "BRIDGE_DATABASEURL in the environment is unknown and ignored: did you mean BRIDGE_DATABASE_URL?",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    caplog.clear()
    BridgeSettings.read({"bridge_batch": 5}, {})
    assert not caplog.records, "a process reads its settings more than once, and is to be told once"


def test_the_settings_of_a_celery_app_are_all_known(caplog: pytest.LogCaptureFixture) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(bridge_pass_limit=7, bridge_bach=1)
    assert Bridge(app).settings.pass_limit == 7
    assert [record.getMessage() for record in caplog.records if record.name == "bridge.settings.bridge"] == [
        "setting bridge_bach is unknown and ignored: `eventbridge about settings` lists those that there are"
    ]

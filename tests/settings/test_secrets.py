"""What may hold a password is in no message, no repr and no answer of a worker about its configuration (G10)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker.control import conf

import bridge
from bridge.errors import ConfigurationError
from bridge.settings.bridge import BridgeSettings

SECRETS = {
    "bridge_secret": "hush",
    "bridge_database_url": "postgresql://u:hush@h/d",
    "bridge_archive": "s3://u:hush@bucket/events",
}


def test_g10_settings_do_not_show_their_secrets() -> None:
    settings = BridgeSettings.read(SECRETS, {})
    assert settings.secret == "hush"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("kind", [str.encode, lambda text: [text]], ids=["bytes", "list"])
def test_g10_a_secret_of_a_wrong_type_is_not_repeated(name: str, kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^setting {name} can't be used: must be text") as caught:
        BridgeSettings.read({name: kind(SECRETS[name])}, {})
    assert "hush" not in str(caught.value)


def test_g10_a_worker_does_not_tell_its_secrets() -> None:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        bridge.install(app)
        app.conf.update(SECRETS)
        told = conf(SimpleNamespace(app=app), with_defaults=True)
        assert told["bridge_archive"]
        for shown in (told, app.conf.humanize(), app.bugreport()):
            assert "hush" not in str(shown)

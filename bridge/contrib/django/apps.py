"""The Django app: it keeps the driver, says where the log is, and adds the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from bridge.contrib.django import driver

driver.keep()  # before any app's models make Django choose; this module is imported before all models


class EventBridgeConfig(AppConfig):
    """The bridge as an app of a Django project."""

    name = "bridge.contrib.django"
    label = "event_bridge"
    verbose_name = "Event bridge"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the bridge find its database in `DATABASES`, and Django its checks; advise `manage.py bridge`."""
        from bridge.calling import DJANGOS
        from bridge.contrib.django import checks, database
        from bridge.contrib.django.operations import migrate_without_migrations
        from bridge.observe.advice import advise
        from bridge.settings.database import find_database_by

        advise(DJANGOS)
        find_database_by(database.database_url)
        checks.register()
        post_migrate.connect(migrate_without_migrations, sender=self)

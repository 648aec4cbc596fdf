"""The bridge in a Django project: put `"bridge.contrib.django"` first into `INSTALLED_APPS`.

The project then has the bridge's schema in its own migrations, `manage.py bridge …`, admin pages and system checks. The
bridge finds its database in `DATABASES`, also in tests. See docs/django.md.

Settings of Django's own, beside the `CELERY_BRIDGE_…` that Celery reads:

- `BRIDGE_DATABASE`: the alias in `DATABASES` that holds the log; `"default"`. None: it is no database of Django's.
- `BRIDGE_APP`: the Celery app as `celery -A` takes it, where it is not found beside the settings.
- `BRIDGE_DRIVER`: `"psycopg2"` or `"psycopg"`: which one Django takes where both are installed.
"""

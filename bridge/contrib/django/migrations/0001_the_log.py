"""The schema as it is in the first release, and what Django knows of its tables."""

from django.db import migrations, models

import bridge.contrib.django.parked_id
import bridge.contrib.django.text_list
from bridge.contrib.django.operations import MigrateBridge


class Migration(migrations.Migration):
    initial = True
    atomic = False  # the bridge migrates on a connection of its own

    dependencies: list[tuple[str, str]] = []

    operations = [
        MigrateBridge("0001"),
        migrations.CreateModel(
            name="Client",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("state", models.TextField()),
                ("state_reason", models.TextField(null=True)),
                ("state_by", models.TextField(null=True)),
                ("state_at", models.DateTimeField(null=True)),
                ("offset", models.BigIntegerField(help_text="Everything up to here is finished.")),
                ("dispatched", models.BigIntegerField(help_text="The log was handed over up to here.")),
                ("epoch", models.IntegerField()),
                ("bridge", models.TextField()),
                ("task", models.TextField(null=True)),
                ("routes", models.JSONField()),
                ("queue", models.TextField()),
                ("topics", bridge.contrib.django.text_list.TextList()),
                ("call", models.TextField()),
                ("serializer", models.TextField()),
                ("ordering", models.TextField()),
                ("window", models.IntegerField()),
                ("ack_timeout_seconds", models.FloatField()),
                ("max_attempts", models.IntegerField()),
                ("backoff_seconds", models.FloatField()),
                ("backoff_max_seconds", models.FloatField()),
                ("on_exhausted", models.TextField()),
                ("batch", models.IntegerField()),
                ("batch_wait_ms", models.IntegerField()),
                ("batch_as", models.TextField()),
                ("report_by", models.TextField()),
                ("rate", models.TextField()),
                ("burst", models.IntegerField()),
                ("priority", models.IntegerField()),
                ("headers", bridge.contrib.django.text_list.TextList()),
                ("time_limit_seconds", models.FloatField()),
                ("soft_time_limit_seconds", models.FloatField()),
                ("declared_by", models.TextField(null=True)),
                ("delivered", models.BigIntegerField()),
                ("succeeded", models.BigIntegerField()),
                ("trouble", models.TextField(null=True)),
                ("trouble_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"fq"."clients"',
                "permissions": (
                    ("pause_client", "Can pause and drain clients"),
                    ("resume_client", "Can resume clients"),
                ),
                "default_permissions": ("view",),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="JournalEntry",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("by", models.TextField()),
                ("client_id", models.TextField(verbose_name="client")),
                ("action", models.TextField()),
                ("details", models.JSONField()),
            ],
            options={
                "verbose_name_plural": "journal",
                "db_table": '"fq"."journal"',
                "default_permissions": ("view",),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="LoggedEvent",
            fields=[
                ("offset", models.BigIntegerField(primary_key=True, serialize=False)),
                ("topic", models.TextField()),
                ("key", models.TextField(null=True)),
                ("payload", models.TextField()),
                ("headers", models.TextField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "event",
                "verbose_name_plural": "log",
                "db_table": '"fq"."events"',
                "default_permissions": ("view",),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ParkedEvent",
            fields=[
                ("id", bridge.contrib.django.parked_id.ParkedId(primary_key=True, serialize=False)),
                ("client_id", models.TextField(verbose_name="client")),
                ("offset", models.BigIntegerField()),
                (
                    "topic",
                    models.TextField(
                        help_text="Empty: the event is not in the log any more, and can't be redriven.", null=True
                    ),
                ),
                ("key", models.TextField(null=True)),
                ("epoch", models.IntegerField()),
                ("attempts", models.IntegerField()),
                ("error_type", models.TextField(null=True)),
                ("error", models.TextField(null=True)),
                ("traceback", models.TextField(null=True)),
                ("reason", models.TextField()),
                ("held", models.BooleanField(help_text="Whether the later events of its key wait for it.")),
                ("redrive", models.BooleanField(verbose_name="goes out again")),
                ("first_at", models.DateTimeField()),
                ("parked_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"fq"."parked_events"',
                "permissions": (
                    ("redrive_parkedevent", "Can redrive parked events"),
                    ("discard_parkedevent", "Can discard parked events"),
                ),
                "default_permissions": ("view",),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ScheduledEvent",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField(help_text="By the clock of Postgres.")),
                ("topic", models.TextField()),
                ("key", models.TextField(null=True)),
                ("payload", models.TextField()),
                ("headers", models.TextField()),
                ("event_id", models.TextField(db_column="id", null=True, verbose_name="id")),
                ("created_at", models.DateTimeField()),
                (
                    "held_until",
                    models.DateTimeField(
                        help_text="It was due, and the log refused it: then it is tried again.", null=True
                    ),
                ),
            ],
            options={
                "db_table": '"fq"."scheduled"',
                "permissions": (("cancel_scheduledevent", "Can cancel scheduled events"),),
                "default_permissions": ("view",),
                "managed": False,
            },
        ),
    ]

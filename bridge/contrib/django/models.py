"""The bridge's tables as Django sees them: to look at, never to write to.

Writing goes through `bridge.Operator`, which locks, notes in the journal and keeps the ledger. Django makes no tables
for these models (`managed = False`); each query goes to the database that `BRIDGE_DATABASE` names, without a router.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from bridge.contrib.django.database import alias
from bridge.contrib.django.parked_id import ParkedId
from bridge.contrib.django.text_list import TextList


class BridgeManager(models.Manager):
    """Reads from the database that holds the log."""

    def get_queryset(self) -> Any:
        """Return all rows, in that database."""
        return super().get_queryset().using(alias())


class Client(models.Model):
    """A client: a named reader of the log."""

    id = models.TextField(primary_key=True)
    state = models.TextField()
    state_reason = models.TextField(null=True)
    state_by = models.TextField(null=True)
    state_at = models.DateTimeField(null=True)
    offset = models.BigIntegerField(help_text="Everything up to here is finished.")
    dispatched = models.BigIntegerField(help_text="The log was handed over up to here.")
    epoch = models.IntegerField()
    bridge = models.TextField()
    task = models.TextField(null=True)
    routes = models.JSONField()
    queue = models.TextField()
    topics = TextList()
    call = models.TextField()
    serializer = models.TextField()
    ordering = models.TextField()
    window = models.IntegerField()
    ack_timeout_seconds = models.FloatField()
    max_attempts = models.IntegerField()
    backoff_seconds = models.FloatField()
    backoff_max_seconds = models.FloatField()
    on_exhausted = models.TextField()
    batch = models.IntegerField()
    batch_wait_ms = models.IntegerField()
    batch_as = models.TextField()
    report_by = models.TextField()
    rate = models.TextField()
    burst = models.IntegerField()
    priority = models.IntegerField()
    headers = TextList()
    time_limit_seconds = models.FloatField()
    soft_time_limit_seconds = models.FloatField()
    declared_by = models.TextField(null=True)
    delivered = models.BigIntegerField()
    succeeded = models.BigIntegerField()
    trouble = models.TextField(null=True)
    trouble_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = BridgeManager()

    class Meta:
        """Where it stands, and what may be done to it."""

        managed = False
        default_permissions = ("view",)
        db_table = '"fq"."clients"'
        permissions = (
            ("pause_client", "Can pause and drain clients"),
            ("resume_client", "Can resume clients"),
        )

    def __str__(self) -> str:
        return str(self.id)


class ParkedEvent(models.Model):
    """An event that was set aside for one client after its last attempt."""

    id = ParkedId(primary_key=True)
    client_id = models.TextField("client")
    offset = models.BigIntegerField()
    topic = models.TextField(null=True, help_text="Empty: the event is not in the log any more, and can't be redriven.")
    key = models.TextField(null=True)
    epoch = models.IntegerField()
    attempts = models.IntegerField()
    error_type = models.TextField(null=True)
    error = models.TextField(null=True)
    traceback = models.TextField(null=True)
    reason = models.TextField()
    held = models.BooleanField(help_text="Whether the later events of its key wait for it.")
    redrive = models.BooleanField("goes out again")
    first_at = models.DateTimeField()
    parked_at = models.DateTimeField()

    objects = BridgeManager()

    class Meta:
        """Where it stands, and what may be done to it."""

        managed = False
        default_permissions = ("view",)
        db_table = '"fq"."parked_events"'
        permissions = (
            ("redrive_parkedevent", "Can redrive parked events"),
            ("discard_parkedevent", "Can discard parked events"),
        )

    def __str__(self) -> str:
        return f"event {self.offset} of {self.client_id}"


class JournalEntry(models.Model):
    """One thing that was done to a client."""

    id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    by = models.TextField()
    client_id = models.TextField("client")
    action = models.TextField()
    details = models.JSONField()

    objects = BridgeManager()

    class Meta:
        """Where it stands."""

        managed = False
        default_permissions = ("view",)
        db_table = '"fq"."journal"'
        verbose_name_plural = "journal"

    def __str__(self) -> str:
        return f"{self.action} {self.client_id}"


class LoggedEvent(models.Model):
    """An event of the log. Payload and headers are read as text: Python can't hold every JSON that Postgres holds."""

    offset = models.BigIntegerField(primary_key=True)
    topic = models.TextField()
    key = models.TextField(null=True)
    payload = models.TextField()
    headers = models.TextField()
    created_at = models.DateTimeField()

    objects = BridgeManager()

    class Meta:
        """Where it stands."""

        managed = False
        default_permissions = ("view",)
        db_table = '"fq"."events"'
        verbose_name = "event"
        verbose_name_plural = "log"

    def __str__(self) -> str:
        return f"{self.offset} {self.topic}"


class ScheduledEvent(models.Model):
    """An event that is appended to the log when it is due; until then nobody gets it."""

    number = models.BigIntegerField(primary_key=True)
    due_at = models.DateTimeField(help_text="By the clock of Postgres.")
    topic = models.TextField()
    key = models.TextField(null=True)
    payload = models.TextField()
    headers = models.TextField()
    event_id = models.TextField("id", null=True, db_column="id")
    created_at = models.DateTimeField()
    held_until = models.DateTimeField(
        null=True, help_text="It was due, and the log refused it: then it is tried again."
    )

    objects = BridgeManager()

    class Meta:
        """Where it stands, and what may be done to it."""

        managed = False
        default_permissions = ("view",)
        db_table = '"fq"."scheduled"'
        permissions = (("cancel_scheduledevent", "Can cancel scheduled events"),)

    def __str__(self) -> str:
        return f"{self.number} {self.topic}"

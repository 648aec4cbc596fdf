"""Handle the events of orders: send an invoice, reserve stock, keep a journal."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

import bridge

logger = logging.getLogger(__name__)


@bridge.client("invoices", topics=["order.paid"], call="kwargs")
@shared_task(name="orders.send_invoice")
def send_invoice(order_id: str, email: str, **_: Any) -> str:
    """Send the invoice of an order. With `call="kwargs"` the payload's fields are the task's arguments."""
    logger.info("invoice for order %s goes to %s", order_id, email)
    return f"{order_id} -> {email}"


@bridge.client("stock", topics=["order.created", "order.cancelled"], ordering="key")
@shared_task(name="orders.reserve")
def reserve(event: bridge.Event) -> int:
    """Reserve what an order needs, and give it back when the order is cancelled.

    The events of one order have one key, so `ordering="key"` hands them over in order: no cancellation comes first.
    """
    sign = -1 if event["topic"] == "order.cancelled" else 1
    quantity = sign * int(event["payload"].get("quantity", 1))
    logger.info("order %s reserves %+d", event["key"], quantity)
    return quantity


@bridge.client("journal", topics=["#"], ordering="none")
@shared_task(name="orders.note")
def note(event: bridge.Event) -> None:
    """Write down every event."""
    logger.info("%s %s %s", event["offset"], event["topic"], event["payload"])

"""An order's way through the company: the invoice, the stock, and the journal. Order of an order's events matters."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

import bridge

logger = logging.getLogger(__name__)


@bridge.client("invoices", topics=["order.paid"], call="kwargs")
@shared_task(name="orders.send_invoice")
def send_invoice(order_id: str, email: str, **_: Any) -> str:
    """Send the invoice of an order: the payload's fields are the task's own arguments, as anyone else would call it."""
    logger.info("invoice for order %s goes to %s", order_id, email)
    return f"{order_id} -> {email}"


@bridge.client("stock", topics=["order.created", "order.cancelled"], ordering="key")
@shared_task(name="orders.reserve")
def reserve(event: dict[str, Any]) -> int:
    """Reserve what an order needs, and give it back when it is cancelled: never the other way round."""
    sign = -1 if event["topic"] == "order.cancelled" else 1
    quantity = sign * int(event["payload"].get("quantity", 1))
    logger.info("order %s reserves %+d", event["key"], quantity)
    return quantity


@bridge.client("journal", topics=["#"], ordering="none")
@shared_task(name="orders.note")
def note(event: dict[str, Any]) -> None:
    """Write down everything that happened."""
    logger.info("%s %s %s", event["offset"], event["topic"], event["payload"])

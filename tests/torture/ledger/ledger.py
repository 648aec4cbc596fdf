"""A fleet that moves money. Its accounts are in the bridge's database, so that a transfer is applied exactly once."""

import os
import random
import time
from typing import Any

from celery import Celery
from sqlalchemy import text

import bridge

app = Celery("ledger", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, task_acks_late=True)

MOVE = "UPDATE accounts SET balance = balance + :amount WHERE id = :id"


@app.task(name="ledger.transfer")
def transfer(event: dict[str, Any]) -> None:
    """Move money between two accounts, and note it; no constraint hides that it happens twice."""
    told = event["payload"]
    with bridge.transaction(event) as session:
        session.execute(text(MOVE), {"id": told["from"], "amount": -told["amount"]})
        time.sleep(random.uniform(0, 0.02))  # long enough to be killed between the two
        session.execute(text(MOVE), {"id": told["to"], "amount": told["amount"]})
        session.execute(text("INSERT INTO applied VALUES (:offset, :attempt)"), event)

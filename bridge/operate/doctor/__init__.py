"""Check all that the bridge rests on. Each check is pure: facts in, findings out; `gather` asks for the facts."""

from __future__ import annotations

from bridge.operate.doctor import broker, clients, database, workers
from bridge.operate.doctor.facts import Facts
from bridge.operate.doctor.finding import Check, Fault, Finding, Level
from bridge.operate.doctor.gather import gather

__all__ = ["CHECKS", "LEVELS", "Check", "Fault", "Finding", "Level", "diagnose", "gather"]

CHECKS: tuple[Check, ...] = (*database.CHECKS, *broker.CHECKS, *workers.CHECKS, *clients.CHECKS)
LEVELS: tuple[Level, ...] = ("at-risk", "warning", "unknown", "ok")  # what matters most first


def diagnose(facts: Facts) -> list[Finding]:
    """Return what all checks find, what matters most first; each check says something."""
    found = [it for check in CHECKS for it in check.findings(facts)]
    return sorted(found, key=lambda it: LEVELS.index(it.level))

"""Check whether each guarantee held, from the log, the handlers' own record and the tables.

No code of the bridge is used. A violation names its guarantee and shows the first events that it is about. Allowed
events, such as one that was handled twice around a crash, are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.torture.evidence import Evidence
from tests.torture.isolated import UNDELIVERABLE, isolated

NEVER = float("inf")
SHOWN = 5  # examples in the text of a violation


@dataclass(slots=True)
class Verdict:
    """The result: figures to look at, and violations, each a guarantee and a text."""

    figures: dict[str, dict[str, int]] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)


def check(evidence: Evidence) -> Verdict:
    """Check every client against every guarantee."""
    verdict = Verdict()
    for client in sorted(evidence.clients):
        _Check(evidence, client, verdict).run()
    return verdict


class _Check:
    """One client's part of the evidence."""

    def __init__(self, evidence: Evidence, client: str, verdict: Verdict) -> None:
        self.client, self.row, self.evidence, self.verdict = client, evidence.clients[client], evidence, verdict
        self.events = [row for row in evidence.events.values() if matches(self.row.topics, row.topic)]
        self.handled = [line for line in evidence.record if line.client == client]
        written = {row.offset: row.written for row in self.events}
        self.record = [line for line in self.handled if written.get(line.offset) == line.written]
        self.parked = evidence.parked.get(client, {})
        self.samples = [seen for seen in evidence.samples if seen.client == client]
        after = evidence.samples[evidence.restored or 0 :]  # before, the log had other events
        self.samples_of_this_log = [seen for seen in after if seen.client == client]
        self.succeeded: dict[int, int] = {}
        for line in self.record:
            if line.what == "success":
                self.succeeded.setdefault(line.offset, line.position)

    def run(self) -> None:
        self.at_least_once()
        self.honest_cursor()
        self.order()
        self.bounded()
        self.fenced()
        self.identity()
        self.poison()
        self.isolated()
        self.audited()
        self.at_rest()
        self.figures()

    def at_least_once(self) -> None:
        """G1, G2: every event of the log has been handled, or is parked."""
        missed = [
            row.offset for row in self.events if row.offset not in self.succeeded and row.offset not in self.parked
        ]
        self._if(missed, "G1/G2 skipped", f"{len(missed)} events were never handled")
        unknown = sorted({line.offset for line in self.handled} - {line.offset for line in self.record})
        if self.evidence.restored is not None:  # what was written after the copy was handled, and is not in the log
            unknown = []
        self._if(unknown, "G2 unknown", f"{len(unknown)} events were handled that are not in the log, or do not match")

    def honest_cursor(self) -> None:
        """G3: at no sample the cursor was above an event that was neither handled nor parked; it never went back."""
        ended: dict[int, float] = dict(self.succeeded)
        for seen in reversed(self.samples_of_this_log):
            for offset in seen.parked:
                ended[offset] = min(seen.recorded, self.succeeded.get(offset, NEVER))
        offsets, latest, last = [row.offset for row in self.events], 0.0, -1
        upto, wrong, back = 0, [], []
        for seen in self.samples_of_this_log:
            while upto < len(offsets) and offsets[upto] <= seen.cursor:
                latest = max(latest, ended.get(offsets[upto], NEVER))
                upto += 1
                if latest > seen.recorded:
                    wrong.append(offsets[upto - 1])
            back += [seen.cursor] if seen.cursor < last else []
            last = max(last, seen.cursor)
        self._if(wrong, "G3 cursor", "the cursor was above an unfinished event")
        self._if(back, "G3 cursor", "the cursor went back")
        beyond = [seen.dispatched for seen in self.samples if seen.dispatched > seen.horizon]
        self._if(beyond, "G2 horizon", "events were handed over that were not final")

    def identity(self) -> None:
        """G6: what handlers know an event by, its generation and offset, never names two events."""
        names: dict[tuple[int, int], set[str]] = defaultdict(set)
        for line in self.handled:
            names[line.generation, line.offset].add(line.written)
        twice = sorted(offset for (_, offset), written in names.items() if len(written) > 1)
        self._if(twice, "G6 identity", f"{len(twice)} names were those of two events")

    def order(self) -> None:
        """G4: the first successes of a key's events come in the order of offsets; parked events have no place in it."""
        if self.row.ordering == "none":
            return
        last: dict[str | None, tuple[int, int]] = {}
        inverted = []
        for row in self.events:
            if (
                row.offset in self.parked
                or row.offset not in self.succeeded
                or (self.row.ordering == "key" and not row.key)
            ):
                continue
            key = row.key if self.row.ordering == "key" else None
            before = last.get(key, (0, 0))
            if self.succeeded[row.offset] < before[0]:
                inverted.append(row.offset)
            last[key] = max(before, (self.succeeded[row.offset], row.offset))
        self._if(inverted, "G4 order", f"{len(inverted)} events succeeded before their predecessors")
        if self.row.ordering == "key":
            together = [seen.most_of_a_key for seen in self.samples if seen.most_of_a_key > 1]
            self._if(together, "G4 order", "several events of one key were out at once")

    def bounded(self) -> None:
        """G5: no sample shows more open deliveries than the window."""
        window = 1 if self.row.ordering == "strict" else self.row.window
        over = [seen.open for seen in self.samples if seen.open > window]
        self._if(over, "G5 window", f"more deliveries were open than the window of {window}")

    def fenced(self) -> None:
        """G6: where nothing was killed and nothing failed, every attempt was handed over once."""
        if self.evidence.calm:
            starts = Counter((line.offset, line.attempt) for line in self.record if line.what == "start")
            twice = sorted(offset for (offset, _), times in starts.items() if times > 1)
            self._if(twice, "G6 fenced", f"{len(twice)} attempts were handed over twice")

    def poison(self) -> None:
        """G7: nothing is tried more often than allowed, and parked is only what was tried that often.

        What the broker or the database has lost is handed over again, which counts no attempt.
        """
        most = self.row.max_attempts + self.evidence.losses
        tried = sorted({line.offset for line in self.record if line.attempt > most})
        self._if(tried, "G7 poison", f"{len(tried)} events were tried more than {self.row.max_attempts} times")
        early = sorted(
            offset
            for offset, row in self.parked.items()
            if row.attempts < self.row.max_attempts and not row.reason.startswith(UNDELIVERABLE)
        )
        self._if(early, "G7 poison", f"{len(early)} events were parked with attempts left")
        lost = sorted(offset for offset in self.parked if offset in self.succeeded and not self._was_unanswered(offset))
        self._if(lost, "G7 poison", f"{len(lost)} events were parked although they had succeeded")

    def isolated(self) -> None:
        """G10: what nobody can read is set aside untried, and nothing else is; no lock stops the other clients."""
        started = {line.offset for line in self.record if line.what == "start"}
        for guarantee, what, wrong in isolated(
            self.client, events=self.events, parked=self.parked, started=started, locks=self.evidence.locks
        ):
            self._if(wrong, guarantee, what)

    def audited(self) -> None:
        """G1, G3: no audit found a contradiction, neither while everything was killed nor in the end."""
        for alarm in dict.fromkeys(self.evidence.alarms.get(self.client, ())):
            self.verdict.violations.append(("G1 audit", f"{self.client}: {alarm}"))

    def at_rest(self) -> None:
        """G1: in the end all is done, and the cursor says so."""
        last = max(self.evidence.events, default=-1)
        left = [*self.evidence.deliveries.elements(), *self.evidence.lanes.elements()].count(self.client)
        if left or self.row.offset < last:
            self._if([self.row.offset], "G1 at rest", f"{left} deliveries and lanes are left, the last event is {last}")

    def figures(self) -> None:
        starts = [line for line in self.record if line.what == "start"]
        attempts = {(line.offset, line.attempt) for line in starts}
        successes = sum(line.what == "success" for line in self.record)
        self.verdict.figures[self.client] = {
            "events": len(self.events),
            "succeeded": len(self.succeeded),
            "parked": len(self.parked),
            "nobody could read": sum(row.odd for row in self.events),
            "failures": sum(line.what == "failure" for line in self.record),
            "starts": len(starts),
            "same attempt twice": len(starts) - len(attempts),
            "succeeded again": successes - len(self.succeeded),
            "samples": len(self.samples),
            "most open": max((seen.open for seen in self.samples), default=0),
        }

    def _was_unanswered(self, offset: int) -> bool:
        return bool(self.parked[offset].reason == "never answered")

    def _if(self, wrong: Sequence[int], guarantee: str, what: str) -> None:
        if wrong:
            shown = ", ".join(map(str, wrong[:SHOWN])) + (", …" if len(wrong) > SHOWN else "")
            self.verdict.violations.append((guarantee, f"{self.client}: {what} ({shown})"))


def matches(patterns: Sequence[str], topic: str) -> bool:
    """Tell whether a topic matches one of these patterns: here all end in `#`."""
    return any(f"{topic}.".startswith(pattern.removesuffix("#")) for pattern in patterns)

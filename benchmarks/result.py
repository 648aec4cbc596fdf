"""Results of a benchmark: figures, each with rows of our value against another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

from benchmarks.measure import ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound that a row should reach: its ratio, or our own value.

    Attributes:
        least: Not less than this.
        most: Not more than this.
        of: The value that the bound is for: `ratio` or `ours`.
    """

    least: float | None = None
    most: float | None = None
    of: str = "ratio"

    def text(self, unit: str) -> str:
        """Return it as it is printed, such as `≥ 40x` or `≤ 15 ms`."""
        sign, bound = ("≥", self.least) if self.least is not None else ("≤", self.most)
        return f"{sign} {bound:,g}x" if self.of == "ratio" else f"{sign} {bound:,g} {unit}"

    def is_met(self, value: float | None) -> bool | None:
        """Tell whether a value reaches it; None if there is no value."""
        if value is None:
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: The thing that was measured.
        ours: Our figure.
        unit: Of both figures.
        other: The value that ours is compared with.
        beside: The thing that ours is compared with.
        ratio: Ours to the other: the median of the rounds' ratios, which need not be the ratio of the medians.
        targets: Bounds that it should reach; none if it only informs.
    """

    name: str
    ours: float
    unit: str
    other: float | None = None
    beside: str = ""
    ratio: float | None = None
    targets: tuple[Target, ...] = ()

    @classmethod
    def of_rates(
        cls,
        name: str,
        ours: Sequence[float],
        other: Sequence[float],
        beside: str,
        *,
        unit: str = "/s",
        targets: tuple[Target, ...] = (),
    ) -> Self:
        """Make a row of two contenders that took turns: medians, and the median of the ratios of the rounds."""
        return cls(
            name=name,
            ours=median(ours),
            unit=unit,
            other=median(other),
            beside=beside,
            ratio=ratio(ours, other),
            targets=targets,
        )

    @property
    def met(self) -> bool | None:
        """Whether all targets are reached; None if there are none."""
        verdicts = [target.is_met(self.ratio if target.of == "ratio" else self.ours) for target in self.targets]
        return all(verdict is not False for verdict in verdicts) if any(v is not None for v in verdicts) else None

    def as_json(self) -> dict[str, Any]:
        """Return its fields, and whether it met its targets."""
        return {**asdict(self), "met": self.met}


@dataclass(slots=True, kw_only=True)
class Figure:
    """Results of one benchmark.

    Attributes:
        name: Of the benchmark.
        rows: Its lines.
        setup: Sizes and settings that it ran with.
        raw: Every single measurement, by what was measured.
        notes: Contenders that were skipped and why, and facts that a reader needs.
        seconds: How long it took.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    setup: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {**asdict(self), "rows": [row.as_json() for row in self.rows]}

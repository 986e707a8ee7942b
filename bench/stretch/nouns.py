"""What is said of stretches of a device's time: raw edges in, figures and the record out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.book import Book
from bench.records.run import (
    Boundary,
    DeviceFacts,
    Doubt,
    Estimate,
    Idle,
    JoulesSource,
    MeterFacts,
    Validity,
)
from bench.stretch.reckon import Reckoning, Stretch

SCHEMA: Literal["joulemark/stretch/1"] = "joulemark/stretch/1"


@dataclass(frozen=True, slots=True)
class Measured:
    """One stretch as a record keeps it; joules by each instrument, null where it gave none.

    ``edge_u_j`` is the standard uncertainty that the stretch's edges leave in ``joules``.
    """

    start_s: float
    end_s: float
    seconds: float
    units: float | None
    counter_j: float | None
    integral_j: float | None
    joules: float | None
    edge_u_j: float | None
    throttled_s: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the repeats of a stretch, ``runs`` of them; ``seconds`` and joules are of one.

    ``joules``, ``watts`` and ``joules_per_unit`` carry the repeatability interval: over the
    repeats, or for a single one what the instrument leaves open at its two edges. ``…_absolute``
    adds the doubts of ``budget``, ``…_net`` is above idle. ``reason`` says what is missing.
    """

    runs: int
    seconds: float
    units: float | None
    boundary: Boundary
    joules_source: JoulesSource
    joules: Estimate | None
    joules_absolute: Estimate | None
    joules_net: Estimate | None
    watts: Estimate | None
    joules_per_unit: Estimate | None
    joules_per_unit_absolute: Estimate | None
    joules_per_unit_net: Estimate | None
    budget: tuple[Doubt, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class StretchRecord:
    """A command under the meter, whole: what ``bench run --json`` writes.

    ``units_from`` is the option that gives the units, ``exit_status`` the command's last.

    Format history: ``joulemark/stretch/1`` 2026-11, the first.
    """

    schema: Literal["joulemark/stretch/1"]
    version: str
    started_at: str
    command: tuple[str, ...]
    units_from: str | None
    exit_status: int
    device: DeviceFacts
    meter: MeterFacts
    idle: Idle
    stretches: tuple[Measured, ...]
    figures: Figures
    validity: Validity


@dataclass(frozen=True, slots=True)
class Setting:
    """What the stretches were measured with; ``idle`` is the power of the device at rest."""

    book: Book
    device: DeviceFacts
    meter: MeterFacts
    idle: Idle


@dataclass(frozen=True, slots=True)
class Reading:
    """What follows for a stretch and its repeats."""

    stretches: tuple[Measured, ...]
    figures: Figures
    validity: Validity


@dataclass(frozen=True, slots=True)
class Taken:
    """One stretch by both instruments; ``best`` is the counter where there is one."""

    stretch: Stretch
    counter: Reckoning | None
    integral: Reckoning | None
    best: Reckoning | None

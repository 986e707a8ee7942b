"""One stored run as a list of many shows it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.run import DeviceKind, GradeName, Status


@dataclass(frozen=True, slots=True)
class Work:
    """One workload of a run: units/s and J/unit, null where they are not known."""

    name: str
    unit: str
    units_per_s: float | None
    joules_per_unit: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One record as a list shows it; ``verdict`` is its code, and ``codes`` are of its validity."""

    file: str
    run_id: str
    started_at: str
    kind: DeviceKind
    device: str
    grade: GradeName
    status: Status
    codes: tuple[str, ...]
    verdict: str
    works: tuple[Work, ...]

"""Figures that no run can have: a record that holds one is not read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bench.records.record import RunRecord
from bench.records.run import Estimate

BOUNDS = {
    "units_per_s": (1e-9, 1e24),
    "watts": (1e-6, 1e7),
    "joules_per_unit": (1e-24, 1e12),
    "joules_per_unit_absolute": (1e-24, 1e12),
}
"""Far outside of any device, and well inside of what arithmetic survives."""
APART = 2.0
"""Joules per unit and watts over rate are two views of the same blocks."""


def implausible(record: RunRecord) -> Iterator[tuple[str, str]]:
    """The field and what is wrong with it; a broken run may have stood still, so 0 is let pass."""
    broken = record.validity.status in ("invalid", "incomplete")
    for index, workload in enumerate(record.workloads):
        metrics, where = workload.metrics, f"workloads.{index}.metrics"
        for name, (least, most) in BOUNDS.items():
            found: Estimate | None = getattr(metrics, name)
            if found is None or (broken and found.mid == 0):
                continue
            if not least <= found.mid <= most:
                yield f"{where}.{name}", f"is {found.mid:g}, which no run can give"
        rate, watts, joules = metrics.units_per_s, metrics.watts, metrics.joules_per_unit
        if broken or rate is None or watts is None or joules is None:
            continue
        if not 1 / APART <= joules.mid * rate.mid / watts.mid <= APART:
            yield f"{where}.joules_per_unit", "contradicts watts over units_per_s"

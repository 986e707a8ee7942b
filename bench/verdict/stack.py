"""What an engine makes of a device beside our own loop, both measured on it. Pure.

The two are never ranked together: tiers T2 and T3 are software of others. The gap says what a
torch loop leaves on the table, or what an engine's front end costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.record import RunRecord
from bench.records.run import WorkloadRecord
from bench.verdict.options import operating_point

ENGINES = ("T2", "T3")
TRUSTED = ("valid", "labelled")
ALIKE = 0.1
"""Lengths of two mixes may differ by this share: a server counts prompt tokens its own way."""


@dataclass(frozen=True, slots=True)
class StackGap:
    """An engine's tokens a second, and its joules per token, over those of our loop.

    ``engine`` and ``loop`` are run ids, the points as the verdict writes them; ``joules`` is null
    where one of them has none.
    """

    device: str
    engine: str
    loop: str
    engine_point: str
    loop_point: str
    rate: float
    joules: float | None


def stack_gaps(records: Sequence[RunRecord]) -> list[StackGap]:
    """One for every engine run that has a loop of the same device, model and mix beside it."""
    runs = [(r, w) for r in records if r.validity.status in TRUSTED for w in _tokens(r)]
    engines = [run for run in runs if run[1].tier in ENGINES]
    loops = [run for run in runs if run[1].tier not in ENGINES]
    found = []
    for record, engine in engines:
        alike = [run for run in loops if _alike(record, engine, *run)]
        if alike:
            found.append(_gap(record, engine, *max(alike, key=lambda run: _rate(run[1]))))
    return found


def _tokens(record: RunRecord) -> list[WorkloadRecord]:
    return [w for w in record.workloads if w.unit == "token" and w.metrics.units_per_s is not None]


def _alike(
    record: RunRecord, engine: WorkloadRecord, other: RunRecord, loop: WorkloadRecord
) -> bool:
    device, same = record.device, other.device
    if (device.uuid or device.name) != (same.uuid or same.name):
        return False
    mixes = engine.config.get("mix"), loop.config.get("mix")
    if mixes[0] is None or mixes[1] is None:
        return False
    lengths = [(mixes[0][name], mixes[1][name]) for name in ("in_tokens", "out_tokens")]
    near = all(abs(a - b) <= ALIKE * max(a, b) for a, b in lengths)
    return near and model_of(record, engine) == model_of(other, loop)


def model_of(record: RunRecord, workload: WorkloadRecord) -> str:
    """By its id, which a price would belong to; by name where it has none."""
    model = record.profiles.model
    return str(model.model_id) if model and model.model_id else str(workload.config.get("model"))


def _gap(
    record: RunRecord, engine: WorkloadRecord, other: RunRecord, loop: WorkloadRecord
) -> StackGap:
    own, theirs = loop.metrics.joules_per_unit, engine.metrics.joules_per_unit
    return StackGap(
        device=record.device.name,
        engine=record.run_id,
        loop=other.run_id,
        engine_point=operating_point(engine),
        loop_point=operating_point(loop),
        rate=_rate(engine) / _rate(loop),
        joules=theirs.mid / own.mid if own and theirs and own.mid > 0 else None,
    )


def _rate(workload: WorkloadRecord) -> float:
    assert workload.metrics.units_per_s is not None
    return workload.metrics.units_per_s.mid

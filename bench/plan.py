"""What a run will do: grades, and the steps that measuring walks and --dry-run adds up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.record import Step
from bench.records.run import GradeName, SensorFacts


@dataclass(frozen=True, slots=True)
class Grade:
    """How much measuring a grade promises; ``ranked`` results may stand in tables.

    ``settle_s`` passes before a block counts, ``idle_settle_s`` before idle does.
    """

    name: GradeName
    blocks: int
    block_s: float
    settle_s: float
    idle_s: float
    idle_settle_s: float
    idle_after: bool
    warmup_s: float
    ranked: bool


GRADES: dict[str, Grade] = {
    grade.name: grade
    for grade in (
        Grade("quick", 4, 2.5, 0.5, 5.0, 1.0, False, 5.0, False),
        Grade("standard", 10, 6.0, 2.0, 20.0, 10.0, True, 30.0, True),
        Grade("publish", 10, 60.0, 2.0, 20.0, 10.0, True, 30.0, True),
    )
}


def block_seconds(grade: Grade, window_s: float | None, sensor: SensorFacts | None) -> float:
    """Length of one block: the user's window divided, else the grade's, stretched for the sensor.

    Above the quick grade a block spans at least 50 sensor updates and 5·(W+L), so that neither
    the update grid nor the averaging window is a large part of it.
    """
    if window_s is not None:
        return window_s / grade.blocks
    if sensor is None or not grade.ranked:
        return grade.block_s
    updates_s = 50 * (sensor.update_s or 0.0)
    memory_s = 5 * ((sensor.window_s or 0.0) + (sensor.lag_s or 0.0))
    return max(grade.block_s, updates_s, memory_s)


def block_order(workloads: Sequence[str], blocks: int) -> list[str]:
    """Workloads in ABBA order, ``blocks`` of each, so that a linear drift cancels."""
    order: list[str] = []
    for index in range(blocks):
        order.extend(workloads if index % 2 == 0 else reversed(workloads))
    return order


def steps(
    grade: Grade,
    workloads: Sequence[str],
    *,
    block_s: float,
    metered: bool,
    setup_s: dict[str, float],
) -> tuple[Step, ...]:
    """The whole run in order; ``setup_s`` says how long each workload's preparing is expected.

    Without a meter of the device (``metered``) there is no idle power to take.
    """
    idle = [Step("idle", None, grade.idle_s, grade.idle_settle_s)] if metered else []
    order = block_order(workloads, grade.blocks)
    share_s = grade.warmup_s / max(len(workloads), 1)
    return (
        *(Step("prepare", name, setup_s.get(name, 0.0)) for name in workloads),
        *(Step("verify", name, setup_s.get(f"{name}.verify", 0.0)) for name in workloads),
        *idle,
        *(Step("warmup", name, share_s) for name in workloads),
        *(Step("block", name, block_s, grade.settle_s) for name in order),
        *(idle if grade.idle_after else []),
    )


def total_seconds(plan: Sequence[Step]) -> float:
    """Seconds of the whole plan."""
    return sum(step.total_s for step in plan)

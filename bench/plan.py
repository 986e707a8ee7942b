"""What a run will do: grades, and the steps that measuring walks and --dry-run adds up. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.phases import group_s
from bench.records.record import Step
from bench.records.run import GradeName, SensorFacts

Phases = Mapping[str, Sequence[str]]
"""The phases that each workload can run alone, by its name."""


@dataclass(frozen=True, slots=True)
class Grade:
    """How much measuring a grade promises; ``ranked`` results may stand in tables.

    ``settle_s`` passes before a block counts, ``idle_settle_s`` before idle does. ``steady_s`` is
    the test that power has settled, ``observer_s`` each of three blocks that show what sampling
    itself costs, ``phase_blocks`` how often each phase of a workload runs alone.
    """

    name: GradeName
    blocks: int
    block_s: float
    settle_s: float
    idle_s: float
    idle_settle_s: float
    idle_after: bool
    warmup_s: float
    steady_s: float
    observer_s: float
    phase_blocks: int
    ranked: bool


GRADES: dict[str, Grade] = {
    grade.name: grade
    for grade in (
        Grade("quick", 4, 2.5, 0.5, 5.0, 1.0, False, 5.0, 0.0, 0.0, 3, False),
        Grade("standard", 10, 6.0, 2.0, 20.0, 10.0, True, 30.0, 15.0, 5.0, 4, True),
        Grade("publish", 10, 60.0, 2.0, 20.0, 10.0, True, 30.0, 15.0, 5.0, 6, True),
    )
}
CALIBRATE_S = 21.0
CALIBRATE_OFF_S = 2.0
CALIBRATE_POLL_S = 0.0025
BURST_S = (0.06, 1.5)
OBSERVED_POLLS_S = (0.0, 1.0, 0.05)
MOST_BLOCK_S = 30.0
LEAST_POLL_S = 0.01
PART_TIME = 0.8
PHI = (math.sqrt(5) - 1) / 2
"""Each block begins this share of a launch group (or of an update) later than the one before, so
that blocks as long as a whole number of updates do not all make the same error."""


def block_seconds(grade: Grade, window_s: float | None, sensor: SensorFacts | None) -> float:
    """Length of one block: the user's window divided, else the grade's, stretched for the sensor.

    Above the quick grade a block spans at least 50 sensor updates and 5·(W+L), so that neither
    the update grid nor the averaging window is a large part of it; never beyond half a minute.
    """
    if window_s is not None:
        return window_s / grade.blocks
    if sensor is None or not grade.ranked:
        return grade.block_s
    updates_s = 50 * (sensor.update_s or 0.0)
    memory_s = 5 * ((sensor.window_s or 0.0) + (sensor.lag_s or 0.0))
    return max(grade.block_s, min(max(updates_s, memory_s), MOST_BLOCK_S))


def pace_s(sensor: SensorFacts | None) -> float | None:
    """How often to look: half the sensor's update period; None while that is not known."""
    if sensor is None or sensor.update_s is None:
        return None
    return max(sensor.update_s / 2, LEAST_POLL_S)


def run_out_s(sensor: SensorFacts | None) -> float:
    """How long a load goes on after its window: the readings that end it look so far beyond."""
    if sensor is None:
        return 0.0
    return ((sensor.window_s or 0.0) + (sensor.update_s or 0.0)) / 2


def load_pattern(seed: int, seconds: float) -> list[tuple[bool, float]]:
    """(on, seconds) in turn, ``seconds`` in all, beginning and ending with CALIBRATE_OFF_S off.

    Each stretch between is log-uniform in BURST_S: from well below any sensor's window to above
    it, and never periodic.
    """
    draw = random.Random(seed)
    shortest, longest = map(math.log, BURST_S)
    pattern, on = [(False, CALIBRATE_OFF_S)], False
    left_s = seconds - 2 * CALIBRATE_OFF_S
    while left_s > 0:
        on = not on
        burst_s = min(math.exp(draw.uniform(shortest, longest)), left_s)
        pattern.append((on, burst_s))
        left_s -= burst_s
    return [*pattern, (False, CALIBRATE_OFF_S)]


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
    calibrate: bool,
    setup_s: dict[str, float],
    sensor: SensorFacts | None,
    phases: Phases | None = None,
) -> tuple[Step, ...]:
    """The whole run in order; ``setup_s`` says how long each workload's preparing is expected,
    ``phases`` which of them are expected to run in phases.

    Without a meter of the device (``metered``) there is no idle power to take, nothing to
    calibrate and no power to see settle.
    """
    first, group = workloads[:1], group_s(sensor)
    return (
        *(Step("prepare", name, setup_s.get(name, 0.0), group_s=group) for name in workloads),
        *(Step("verify", name, setup_s.get(f"{name}.verify", 0.0)) for name in workloads),
        *(calibration(name) for name in first if calibrate),
        *after_setup(
            grade, workloads, block_s=block_s, metered=metered, sensor=sensor, phases=phases
        ),
    )


def calibration(workload: str) -> Step:
    """The seeded on/off load that shows how the sensor sees."""
    return Step("calibrate", workload, CALIBRATE_S, poll_s=CALIBRATE_POLL_S)


def after_setup(
    grade: Grade,
    workloads: Sequence[str],
    *,
    block_s: float,
    metered: bool,
    sensor: SensorFacts | None,
    phases: Phases | None = None,
) -> tuple[Step, ...]:
    """What follows once the workloads stand and the sensor is known as well as it will be."""
    poll_s, out_s = pace_s(sensor), run_out_s(sensor)
    turn_s = group_s(sensor) or (sensor.update_s if sensor else None) or 0.0
    rest = Step("idle", None, grade.idle_s, grade.idle_settle_s, poll_s, run_out_s=out_s)
    idle = [rest] if metered else []
    watched = workloads[:1] if metered and grade.ranked else ()
    return (
        *idle,
        *warmup(workloads, grade.warmup_s, poll_s),
        *(Step("steady", name, grade.steady_s, grade.settle_s, poll_s) for name in watched),
        *(
            Step("observer", name, grade.observer_s, grade.settle_s, observed_s)
            for name in watched
            for observed_s in OBSERVED_POLLS_S
        ),
        *phase_steps(grade, phases or {}, block_s, sensor),
        *(
            Step("block", name, block_s, grade.settle_s + k * PHI % 1 * turn_s, poll_s, None, out_s)
            for k, name in enumerate(block_order(workloads, grade.blocks))
        ),
        *(idle if grade.idle_after else []),
    )


def phase_steps(
    grade: Grade, phases: Phases, block_s: float, sensor: SensorFacts | None
) -> tuple[Step, ...]:
    """Each workload's phases alone, in ABBA order, ``block_s`` each, at most MOST_BLOCK_S.

    They come before the blocks, so that the run that is checked last is one that counts.
    """
    seconds, poll_s = min(block_s, MOST_BLOCK_S), pace_s(sensor)
    return tuple(
        Step("phase", name, seconds, grade.settle_s, poll_s, None, run_out_s(sensor), part)
        for name, parts in phases.items()
        for part in block_order(parts, grade.phase_blocks)
    )


def warmup(workloads: Sequence[str], seconds: float, poll_s: float | None) -> tuple[Step, ...]:
    """Warm-up divided among the workloads."""
    share_s = seconds / max(len(workloads), 1)
    return tuple(Step("warmup", name, share_s, poll_s=poll_s) for name in workloads)


def total_seconds(plan: Iterable[Step]) -> float:
    """Seconds of the whole plan."""
    return sum(step.total_s for step in plan)

"""The steps of a run, each following from what the journal has shown so far. Pure.

Calibration decides how long blocks are, how often the meter looks and how launches are grouped;
warm-up goes on until the device is warm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from bench.book import POWER_FIELDS, open_book
from bench.derive import calibrated
from bench.phases import group_s
from bench.plan import (
    CALIBRATE_POLL_S,
    Grade,
    Phases,
    after_setup,
    block_seconds,
    calibration,
    phase_steps,
    steps,
    total_seconds,
    warmup,
)
from bench.records.journal import Event, Fact
from bench.records.record import Step
from bench.records.run import DeviceFacts, MeterFacts
from bench.steadiness import warm

WARMUP_CAP_S = 180.0
MORE_WARMUP_S = 20.0
STEADY_S = 10.0


class Protocol:
    """An iterator of steps; ``left_s`` is what the one just given and those after it will take."""

    def __init__(
        self,
        grade: Grade,
        workloads: Sequence[str],
        *,
        device: DeviceFacts,
        meter: MeterFacts,
        window_s: float | None,
        setup_s: dict[str, float],
        facts: Sequence[Fact],
        made_at: str,
        phases: Phases | None = None,
    ) -> None:
        """``facts`` is the journal as it grows; ``made_at`` dates a calibration, ``phases`` are
        those expected until the prepared workloads have said theirs."""
        self.meter = meter
        self._grade = grade
        self._workloads = workloads
        self._device = device
        self._window_s = window_s
        self._facts = facts
        self._made_at = made_at
        self._phases = dict(phases or {})
        self._warm_began: int | None = None
        self._warmed_s = 0.0
        self._ahead = deque(
            steps(
                grade,
                workloads,
                block_s=self.block_s,
                metered=metered(meter),
                calibrate=grade.ranked and can_calibrate(meter),
                setup_s=setup_s,
                sensor=meter.sensor,
                phases=self._phases,
            )
        )
        self.left_s = total_seconds(self._ahead)

    @property
    def block_s(self) -> float:
        """Length of a block, as far as the sensor is known."""
        return block_seconds(self._grade, self._window_s, self.meter.sensor)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is ahead, as far as that can be told."""
        return tuple(self._ahead)

    def __iter__(self) -> Iterator[Step]:
        while self._ahead:
            step = self._ahead.popleft()
            self.left_s = step.total_s + total_seconds(self._ahead)
            began = len(self._facts)
            yield step
            self._learn(step, began)

    def _learn(self, step: Step, began: int) -> None:
        if step.name == "prepare":
            self._learn_phases(began)
        elif step.name == "calibrate":
            self._learn_sensor(began)
        elif step.name == "warmup":
            self._warmed_s += step.seconds
            self._warm_began = began if self._warm_began is None else self._warm_began
            if not any(ahead.name == "warmup" for ahead in self._ahead):
                self._warm_on(self._warm_began, step.poll_s)

    def _learn_phases(self, began: int) -> None:
        """The phase blocks ahead as the workload just prepared says, where it is not as expected.

        One that could not be prepared says nothing, and its steps are passed over.
        """
        said = dict(self._phases)
        for fact in self._facts[began:]:
            if isinstance(fact, Event) and fact.name == "prepared":
                said[fact.data["name"]] = tuple(fact.data["details"].get("phases", ()))
        if said == self._phases:
            return
        self._phases = said
        rest = [step for step in self._ahead if step.name != "phase"]
        first = next((at for at, step in enumerate(rest) if step.name == "block"), len(rest))
        found = phase_steps(self._grade, said, self.block_s, self.meter.sensor)
        self._ahead = deque((*rest[:first], *found, *rest[first:]))

    def _learn_sensor(self, began: int) -> None:
        """Every later step as this sensor needs it; launches are grouped anew where it must be."""
        book = open_book(self._facts[began:])
        self.meter = calibrated(self.meter, self._device, book, self._made_at)
        group = group_s(self.meter.sensor)
        regroup = [Step("prepare", name, 0.0, group_s=group) for name in self._workloads if group]
        self._ahead = deque(
            (
                *regroup,
                *after_setup(
                    self._grade,
                    self._workloads,
                    block_s=self.block_s,
                    metered=True,
                    sensor=self.meter.sensor,
                    phases=self._phases,
                ),
            )
        )

    def _warm_on(self, began: int, poll_s: float | None) -> None:
        """More warm-up, unless the device is warm or has had its share of time."""
        if not self._grade.ranked or self._warmed_s >= WARMUP_CAP_S:
            return
        if warm(open_book(self._facts[began:])) is not None:
            self._ahead.extendleft(reversed(warmup(self._workloads, MORE_WARMUP_S, poll_s)))


class FixedCourse:
    """Steps that are known beforehand."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._ahead = deque(steps)
        self.left_s = total_seconds(steps)

    def __iter__(self) -> Iterator[Step]:
        while self._ahead:
            self.left_s = total_seconds(self._ahead)
            yield self._ahead.popleft()


def calibration_course(workload: str) -> tuple[Step, ...]:
    """A verified workload that goes on and off, then stays on for a while."""
    return (
        Step("prepare", workload, 0.0),
        Step("verify", workload, 0.0),
        calibration(workload),
        Step("steady", workload, STEADY_S, 2.0, CALIBRATE_POLL_S),
    )


def metered(meter: MeterFacts) -> bool:
    """Whether the power of the device that works is read at all."""
    return meter.source not in ("none", "assumed") and not meter.mismatch


def can_calibrate(meter: MeterFacts) -> bool:
    """Whether a calibration is worth its time: readings of power, and not known already."""
    reads_power = not set(POWER_FIELDS).isdisjoint(meter.capabilities)
    return metered(meter) and reads_power and meter.calibration is None

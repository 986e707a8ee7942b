"""A recording as a meter: its readings come again, as far apart as they were. Always labelled.

Reads a CSV of watts, one of several power columns, or a journal of this program.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import get_args

import numpy as np

from bench.characterise import FIELDS, update_period
from bench.energy import Series
from bench.machine import legible
from bench.meters.trace import BadTrace, largest, lines_of, read_table
from bench.ports import Clock
from bench.records.journal import Field, Sample, from_line
from bench.records.run import MeterFacts, SensorFacts

COLUMNS: dict[str, Field] = {
    "instant_w": "power_instant_w",
    "power_instant_w": "power_instant_w",
    "average_w": "power_average_w",
    "power_average_w": "power_average_w",
    "power_draw_w": "power_w",
    "power_w": "power_w",
    "energy_j": "energy_j",
}


class ReplayMeter:
    """Gives a recording's readings from the moment of ``start`` on, then none."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the whole file; BadTrace (a ValueError) says why it is no recording."""
        self._clock = clock
        read = _journal if _is_journal(path) else _table
        self._samples = sorted(read(path), key=attrgetter("t_s"))
        fields = tuple(sorted({sample.field for sample in self._samples}))
        power = next((field for field in FIELDS if field in fields), None)
        if power is None and "energy_j" not in fields:
            raise BadTrace(f"{path}: holds no power and no energy; name a recording of a meter")
        self._facts = MeterFacts(
            source="replay",
            name=f"replay of {legible(path.name)}",
            sensor=SensorFacts(update_s=self._update_s(power) if power else None),
            mismatch=True,
            capabilities=fields,
        )
        self._next = 0
        self._start_s: float | None = None
        self._paused = False

    def facts(self) -> MeterFacts:
        """What the recording holds; it is never the device's own meter."""
        return self._facts

    @property
    def pid(self) -> None:
        """No process."""

    def start(self) -> None:
        """The recording's first reading falls on this moment."""
        self._start_s, self._next = self._clock.now(), 0

    def pace(self, period_s: float | None) -> None:
        """Readings come as they were recorded, or while ``period_s`` is 0 not at all."""
        self._passed()
        self._paused = period_s == 0

    def survey(self) -> None:
        """A recording has no processes."""

    def poll(self) -> Sequence[Sample]:
        """The readings that have come due since the last poll."""
        return self._passed()

    def stop(self) -> None:
        """Nothing to close."""
        self._start_s = None

    def _passed(self) -> list[Sample]:
        if self._start_s is None:
            return []
        shift_s, now_s = self._start_s - self._samples[0].t_s, self._clock.now()
        first = self._next
        while self._next < len(self._samples) and self._samples[self._next].t_s + shift_s <= now_s:
            self._next += 1
        passed = [] if self._paused else self._samples[first : self._next]
        return [_moved(sample, shift_s) for sample in passed]

    def _update_s(self, field: Field) -> float | None:
        """How often the readings change; of one that changes each time, how often they come."""
        points = [(sample.t_s, sample.value) for sample in self._samples if sample.field == field]
        series = Series.of(points)
        return update_period(series) or (
            float(np.median(np.diff(series.t_s))) if len(series) > 1 else None
        )


def _moved(sample: Sample, shift_s: float) -> Sample:
    reported_s = None if sample.reported_s is None else sample.reported_s + shift_s
    return Sample(sample.t_s + shift_s, sample.field, sample.value, reported_s)


def _table(path: Path) -> list[Sample]:
    """The samples of a CSV, a counter's on change only; columns of no known name are watts."""
    table = read_table(path, COLUMNS)
    samples: list[Sample] = []
    for name, values in table.columns.items():
        field = COLUMNS.get(name, "power_w")
        kept = np.full(len(values), field != "energy_j") | (np.diff(values, prepend=np.nan) != 0)
        pairs = zip(table.t_s[kept].tolist(), values[kept].tolist(), strict=True)
        samples += [Sample(t_s, field, value) for t_s, value in pairs]
    return samples


def _is_journal(path: Path) -> bool:
    return next(lines_of(path), (1, ""))[1].startswith("{")


def _journal(path: Path) -> list[Sample]:
    """The samples of a journal; a last line that was cut off is left out."""
    samples: list[Sample] = []
    broken = 0
    for number, line in lines_of(path):
        if broken:
            raise BadTrace(f"{path}: line {broken} is no line of a journal; restore it from a copy")
        try:
            fact = from_line(json.loads(line))
            samples += [_checked(fact)] if isinstance(fact, Sample) else []
        except (ValueError, TypeError, RecursionError):
            broken = number
    return samples


def _checked(sample: Sample) -> Sample:
    """The sample with numbers that can be; ValueError or TypeError otherwise."""
    times = (sample.t_s, sample.value, sample.reported_s or 0.0)
    if sample.field not in get_args(Field) or not all(map(math.isfinite, times)):
        raise ValueError(sample.field)
    if sample.field in COLUMNS.values() and abs(sample.value) > largest(sample.field):
        raise ValueError(sample.field)
    return sample

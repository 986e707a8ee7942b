"""A simulated sensor as a meter: virtual time beside simulated workers, or real time beside real
work to exercise the whole path without a sensor.

It is sampled by the same ``Sampling`` as a real one, step by step on its own clock, and knows as
little of itself as a real one does: how it sees is for the calibration to find out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.machine import clock_pair
from bench.meters.process import SILENCE_S
from bench.meters.sampler import HURRIED_S, period_s
from bench.meters.sampling import (
    MeterLost,
    Missing,
    Notice,
    Reading,
    Sampling,
    TransientError,
    trouble,
)
from bench.ports import Clock
from bench.records.journal import ClockPair, Fact, Field
from bench.records.run import DeviceFacts, MeterFacts, SensorFacts
from bench.simulate import Card, EnergyCounter, PowerReading, SimulatedDevice

Word = Reading | Missing | Notice


class Source:
    """One field: its reading is made anew only when its value has changed."""

    def __init__(self, field: Field, value_at: Callable[[float], float]) -> None:
        self.field = field
        self._value_at = value_at
        self._last = Reading(field, math.nan)

    def at(self, t_s: float) -> Reading:
        """As the instrument would answer at ``t_s``, which never goes back."""
        value = self._value_at(t_s)
        if value != self._last.value:
            self._last = Reading(self.field, value)
        return self._last


class SimulatedInstrument:
    """A ``Sensor`` over a simulated device, read at the instant it is set to."""

    period_s = 0.02

    def __init__(self, device: SimulatedDevice) -> None:
        card = device.card
        self.now_s = device.start_s
        self._device = device
        self._faults = device.faults
        self._random = np.random.default_rng([device.seed, len(card.sensors) + 1])
        self._power = [PowerReading(device, each, k + 1) for k, each in enumerate(card.sensors)]
        counters = [EnergyCounter(device, card.counter)] if card.counter is not None else []
        self._fast = [
            *(Source("energy_j", counter.at) for counter in counters),
            *(Source(power.field, power.at) for power in self._power),
            Source("throttle_power_s", lambda t_s: device.held_back_s("power-cap", t_s)),
            Source("throttle_thermal_s", lambda t_s: device.held_back_s("throttle", t_s)),
            Source("sm_clock_hz", device.clock_hz),
        ]
        self._slow = [
            Source("throttle_brake_s", lambda _: 0.0),
            Source("temperature_c", device.temperature_c),
            Source("power_limit_w", self._limit_w),
            Source("pstate", lambda _: 0.0),
            Source("ecc_uncorrected", lambda t_s: self._faults.size("ecc", t_s) or 0.0),
        ]
        self._told: set[str] = set()
        pair = clock_pair()  # the machine's own pairs stand in the same journal
        self._wall_s = pair.realtime_s - pair.monotonic_s
        self._asleep_s = pair.boottime_s - pair.monotonic_s

    def facts(self) -> MeterFacts:
        """What it reads; not how it sees, which a calibration has to find."""
        return MeterFacts(
            source="sim",
            name=f"sim:{self._device.card.name}",
            scope="gpu",
            sensor=SensorFacts(scope="gpu"),
            device_uuid=f"SIM-{self._device.card.name}",
            capabilities=tuple(each.field for each in (*self._fast, *self._slow)),
        )

    def clocks(self) -> ClockPair:
        """The machine's clocks as they stand to each other, at the instant it is set to."""
        t_s = self.now_s
        late = self._faults.size("slow-clock", t_s) or 0.0
        return ClockPair(
            t_s,
            t_s + self._wall_s - late * (t_s - self._faults.at("slow-clock") if late else 0.0),
            t_s + self._asleep_s + (self._faults.size("pause", t_s) or 0.0),
        )

    def read(self, *, slow: bool) -> Sequence[Word]:
        """See ``Sensor.read``; faults of the instrument strike here."""
        t_s = self.now_s
        self._device.advance(t_s)
        if self._faults.size("lost", t_s) is not None:
            raise MeterLost("GPU_LOST", "the GPU was lost: GPU_IS_LOST (15)")
        share = self._faults.size("drop", t_s)
        if share is not None and self._random.random() < share:
            raise TransientError("nvmlDeviceGetFieldValues: TIMEOUT (10)")
        words: list[Word] = [source.at(t_s) for source in self._fast]
        if slow:
            words += [source.at(t_s) for source in self._slow]
            words += self._news(t_s)
        return words

    def survey(self) -> Notice:
        """Nobody, or a stranger."""
        stranger = self._faults.size("foreign", self.now_s)
        pids = [] if stranger is None else [int(stranger)]
        return Notice("processes", {"pids": pids, "graphics": []})

    def hangs(self, t_s: float) -> bool:
        """Whether a read at ``t_s`` would never return."""
        return self._faults.size("hang", t_s) is not None

    def absent(self, t_s: float) -> bool:
        """Whether nothing is read at ``t_s``."""
        lasts_s = self._faults.size("gaps", t_s)
        return lasts_s is not None and t_s < self._faults.at("gaps") + lasts_s

    def _limit_w(self, t_s: float) -> float:
        return self._device.card.limit_w * (self._faults.size("limit", t_s) or 1.0)

    def _news(self, t_s: float) -> list[Word]:
        """What is said once: an Xid, a field that has gone."""
        news: list[Word] = []
        if (code := self._once("xid", t_s)) is not None:
            news.append(Notice("xid", {"code": int(code)}))
        if self._once("field-lost", t_s) is not None:
            field = self._power[0].field
            self._fast = [source for source in self._fast if source.field != field]
            news.append(Missing(field, "nvmlDeviceGetFieldValues: NOT_SUPPORTED (3)"))
        return news

    def _once(self, fault: str, t_s: float) -> float | None:
        if fault in self._told or (size := self._faults.size(fault, t_s)) is None:
            return None
        self._told.add(fault)
        return size


class SimulatedMeter:
    """Reads a simulated device through its sensor's eyes; labelled wherever it appears."""

    def __init__(self, device: SimulatedDevice, clock: Clock, *, mismatch: bool) -> None:
        self._instrument = SimulatedInstrument(device)
        self._sampling = Sampling(self._instrument, self._instrument.clocks)
        self._clock = clock
        self._mismatch = mismatch
        self._period_s = self._instrument.period_s
        self._due_s = math.inf
        self._heard: list[Fact] = []
        self._lost: MeterLost | None = None
        self._hung_s: float | None = None
        self._sampled = False

    def facts(self) -> MeterFacts:
        """What it can read, and whether it reads the device that does the work."""
        return replace(self._instrument.facts(), mismatch=self._mismatch)

    @property
    def pid(self) -> None:
        """No process."""

    def start(self) -> None:
        """Begin to sample."""
        self._sampled = True
        self._due_s = self._clock.now()

    def pace(self, period_s_: float | None) -> None:
        """See ``Meter.pace``; what fell due before is read first."""
        self._catch_up()
        self._period_s = period_s(period_s_, self._instrument.period_s)
        self._due_s = self._clock.now() if self._period_s < math.inf else math.inf

    def survey(self) -> None:
        """Who is on the device at this moment."""
        self._catch_up()
        if self._lost is None and self._hung_s is None:
            self._instrument.now_s = self._clock.now()
            self._heard += self._sampling.survey()

    def poll(self) -> Sequence[Fact]:
        """Facts since the last poll; raises MeterLost once sampling has ended by itself and all
        it left has been handed over, no longer after stop().
        """
        self._catch_up()
        if self._lost is not None and not self._heard and self._sampled:
            raise self._lost
        heard, self._heard = self._heard, []
        return heard

    def stop(self) -> None:
        """End sampling; the last facts can still be polled."""
        if not self._sampled:
            return
        self._catch_up()
        if self._hung_s is not None and self._lost is None:
            self._hung(self._clock.now())
        elif self._lost is None:
            self._heard += self._sampling.end(self._clock.now())
        self._sampled, self._due_s = False, math.inf

    def _catch_up(self) -> None:
        """Every step that fell due until now, each at its own instant."""
        now_s = self._clock.now()
        while self._due_s <= now_s and self._lost is None and self._hung_s is None:
            self._step(self._due_s)
            self._due_s += self._period_s
        if self._lost is None and self._hung_s is not None and now_s - self._hung_s >= SILENCE_S:
            self._hung(self._hung_s + SILENCE_S)

    def _step(self, t_s: float) -> None:
        if self._instrument.hangs(t_s):
            self._hung_s = t_s
            return
        if self._instrument.absent(t_s):
            return
        self._instrument.now_s = t_s
        try:
            self._heard += self._sampling.step(hurry=self._period_s < HURRIED_S)
        except MeterLost as lost:
            self._lost = lost
            self._heard.append(trouble(t_s, lost.code, lost.text))
            self._heard += self._sampling.end(t_s)

    def _hung(self, t_s: float) -> None:
        """The watcher's word on a sampler that has fallen silent; it left no tally."""
        text = "the power sampler hung and was killed: the driver hangs; check dmesg"
        self._lost = MeterLost("SAMPLER_HUNG", text)
        self._heard.append(trouble(t_s, self._lost.code, text))


def open_beside(card: Card, clock: Clock, seed: int, device: DeviceFacts) -> SimulatedMeter:
    """A simulated sensor beside real work: it sees a card under a steady load of its own."""
    simulated = SimulatedDevice(card, seed, clock.now())
    simulated.load(clock.now(), max(card.truth, key=card.load_w))
    return SimulatedMeter(simulated, clock, mismatch=device.kind != "sim")

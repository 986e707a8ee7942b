"""Work under a meter: what is not a workload of ours, a command or a part of a script.

The meter is read closely in the quiet before and after, and drained while the work runs; the
figures are ``bench.stretch``'s. Here is also the ``Meter`` that scripts use.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.book import open_book
from bench.machine import clock_pair, cpu_device
from bench.ports import Meter as Instrument
from bench.ports import MeterError
from bench.records.journal import Event, Fact, Sample, Span
from bench.records.run import Code, DeviceFacts, Estimate, Idle, MeterFacts
from bench.stretch import Figures, Reading, Setting, Stretch, read

DRAIN_S = 0.1
FINE_PACE_S = 0.0015
"""How often the meter is looked at in the quiet, so how well the ticks there are dated."""
LEAST_QUIET_S, MOST_QUIET_S = 0.25, 1.0
QUIET_TICKS = 4
FIRST_SURVEY_S, SURVEY_S = 2.0, 30.0
FULL_PACE_S = 60.0
SLOWING = 1 / 3000
STEP = 1.2
SLOWEST_S, SLOWEST_POLLED_S = 0.5, 0.1
"""Beyond ``FULL_PACE_S`` a stretch is read ever less often, so that a day of it stays small:
a counter loses nothing by it, polled power less than its updates."""


class Metering:
    """A meter at work, drained by a thread of its own; the facts are all that it said.

    Used as a context manager; leaving it stops the meter whatever happened inside. To be entered
    and left on the thread that opened the meter.
    """

    def __init__(self, meter: Instrument, *, fresh: bool) -> None:
        """``fresh``: nothing of what is to be measured has begun yet."""
        self.facts: list[Fact] = []
        self._meter = meter
        self._reads = meter.facts().source not in ("none", "assumed")
        self._counts = "energy_j" in meter.facts().capabilities
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._pump = threading.Thread(target=self._keep_draining, daemon=True, name="bench-meter")
        self._fresh = fresh
        self._lost = False
        self._family: set[int] = set()
        self._surveyed_s = 0.0
        self._began_s: float | None = None
        self._pace_s = 0.0

    def __enter__(self) -> Self:
        """Start the meter; MeterError when it has died since it was opened."""
        try:
            self._meter.start()
            self._note(clock_pair())
            self._survey()
            self._pump.start()
        except BaseException:
            self._meter.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and keep its last words."""
        self._ended.set()
        try:
            self._pump.join()
            self.drain()
        finally:
            self._meter.stop()
        with contextlib.suppress(MeterError):
            self.facts += self._meter.poll()
        self._note(clock_pair())
        data = {"pids": self._own(), "fresh": self._fresh}
        self._note(Event(time.monotonic(), "own_processes", data))

    @contextlib.contextmanager
    def stretch(self, keep: Callable[[Stretch], None]) -> Iterator[None]:
        """What runs inside is one stretch, with quiet before and after; handed to ``keep``."""
        quiet_from_s = self._quiet()
        self._pace(None)
        self._began_s = start_s = time.monotonic()
        try:
            yield
        finally:
            end_s = time.monotonic()
            self._began_s = None
            self._note(Span("block", "command", start_s, end_s))
            self._quiet()
            quiet_to_s = time.monotonic()
            self._survey()
            keep(Stretch(start_s, end_s, quiet_from_s, quiet_to_s))

    def idle(self, seconds: float) -> None:
        """Nothing runs for so long: the power at rest."""
        start_s = time.monotonic()
        self._ended.wait(seconds)
        self._note(Span("idle", None, start_s, time.monotonic()))

    def drain(self) -> None:
        """Take in what the meter has said; once it is lost that is noted and the work goes on."""
        with self._lock:
            if self._lost:
                return
            try:
                self.facts += self._meter.poll()
            except MeterError as error:
                self._lost = True
                self.facts.append(Event(time.monotonic(), "meter_lost", {"text": str(error)}))

    def _quiet(self) -> float:
        """Look closely until the counter has ticked a few times: when that began."""
        begun_s = time.monotonic()
        if self._reads:
            self._pace(FINE_PACE_S)
            while not self._seen_enough(begun_s):
                self._ended.wait(DRAIN_S / 10)
                self.drain()
        return begun_s

    def _seen_enough(self, since_s: float) -> bool:
        passed_s = time.monotonic() - since_s
        if self._lost or passed_s > MOST_QUIET_S:
            return True
        ticks = 0
        for fact in reversed(self.facts):
            if isinstance(fact, Sample):
                if fact.t_s < since_s:
                    break
                ticks += fact.field == "energy_j"
        return passed_s > LEAST_QUIET_S and ticks >= QUIET_TICKS

    def _keep_draining(self) -> None:
        while not self._ended.wait(DRAIN_S):
            self.drain()
            self._attend()

    def _attend(self) -> None:
        began_s = self._began_s
        if began_s is None:
            return
        now_s = time.monotonic()
        passed_s = now_s - began_s
        unseen = self._surveyed_s < began_s
        if passed_s > FIRST_SURVEY_S and (unseen or now_s - self._surveyed_s > SURVEY_S):
            self._survey()
        wanted_s = slowed_s(passed_s, counts=self._counts)
        if wanted_s is not None and wanted_s > STEP * self._pace_s:
            self._pace(wanted_s, of=began_s)

    def _pace(self, period_s: float | None, *, of: float | None = None) -> None:
        """``of`` the stretch that began then: not if it has ended meanwhile."""
        with self._lock:
            if of is None or of == self._began_s:
                self._meter.pace(period_s)
                self._pace_s = period_s or 0.0

    def _survey(self) -> None:
        """Ask who is on the device, and note which processes are ours."""
        self._own()
        self._surveyed_s = time.monotonic()
        with self._lock:
            self._meter.survey()

    def _own(self) -> list[int]:
        """This process and all that it ever was seen to have started."""
        self._family |= family(os.getpid(), self._family)
        if self._meter.pid is not None:
            self._family.add(self._meter.pid)
        return sorted(self._family)

    def _note(self, fact: Fact) -> None:
        with self._lock:
            self.facts.append(fact)


def slowed_s(passed_s: float, *, counts: bool) -> float | None:
    """How often to read a stretch that has gone on so long; None: at the instrument's own pace."""
    if passed_s < FULL_PACE_S:
        return None
    return min(passed_s * SLOWING, SLOWEST_S if counts else SLOWEST_POLLED_S)


def family(pid: int, known: set[int]) -> set[int]:
    """The process, its descendants, and those of ``known``, as /proc lists them now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    found = {pid} | known
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def find_device(gpu: int | None, device: str | None) -> DeviceFacts:
    """The processor, or the GPU with that NVML index, else the first that is visible.

    MeterError says why there is none.
    """
    if device == "cpu":
        return cpu_device()
    from bench.meters.nvml import first_visible, resolve

    return first_visible() if gpu is None else resolve(gpu)


def open_instrument(spec: str, device: DeviceFacts) -> tuple[Instrument, MeterFacts]:
    """The instrument by its ``--meter`` name, with what is remembered of its calibration.

    MeterError says why there is none, unless none was asked for; ValueError that the name is no
    instrument's.
    """
    from bench.calibrations import recall
    from bench.meters import open_meter

    meter = open_meter(spec, device, _no_simulation)
    facts = meter.facts()
    if facts.source == "none" and spec != "none":
        raise MeterError(f"{facts.reason}; with meter='none' the time is measured alone")
    return meter, recall(facts, device)


def _no_simulation(name: str | None) -> Instrument:
    raise ValueError(f"meter=sim:{name}: a script under a simulated sensor measures nothing")


class Metered:
    """What was measured over a stretch; known once the meter has stopped.

    Energies, powers and energies per unit are ``Estimate`` (mid, lo, hi) with the repeatability
    interval, or the absolute one where the name says so; None, with ``reason``, when unknown.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stretch: Stretch | None = None
        self._read: Callable[[Sequence[Stretch]], Reading] | None = None
        self._reading: Reading | None = None

    @property
    def figures(self) -> Figures:
        """All of it; RuntimeError before the meter has stopped."""
        return self._known().figures

    @property
    def joules(self) -> Estimate | None:
        """Energy, with the repeatability interval."""
        return self.figures.joules

    @property
    def joules_absolute(self) -> Estimate | None:
        """Energy, with the absolute interval."""
        return self.figures.joules_absolute

    @property
    def watts(self) -> Estimate | None:
        """Mean power."""
        return self.figures.watts

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.figures.seconds

    @property
    def reason(self) -> str | None:
        """Why a figure is None."""
        return self.figures.reason

    @property
    def codes(self) -> tuple[Code, ...]:
        """What to know before believing it; ``fatal`` ones say not to."""
        return self._known().validity.codes

    def per_unit(self, units: float) -> Estimate | None:
        """Joules per unit of work, of which there were ``units`` > 0."""
        if not units > 0:
            raise ValueError(f"units must be above 0, not {units}")
        joules = self.joules
        if joules is None:
            return None
        return Estimate(joules.mid / units, joules.lo / units, joules.hi / units, joules.n)

    def _known(self) -> Reading:
        if self._reading is None:
            if self._read is None or self._stretch is None:
                raise RuntimeError("the figures are known once the meter has stopped")
            self._reading = self._read([self._stretch])
        return self._reading


class Meter(Metered):
    """``with bench.Meter(gpu=0) as m: …`` then ``m.joules``, ``m.watts``, ``m.per_unit(n)``.

    Entering and leaving take up to a second each, in which the meter watches the device at rest.
    """

    def __init__(
        self, gpu: int | None = None, *, device: str | None = None, meter: str = "auto"
    ) -> None:
        """``gpu`` is an NVML index, ``device`` may be "cpu", ``meter`` is as for ``--meter``."""
        super().__init__("whole")
        if gpu is not None and device is not None:
            raise ValueError("gpu and device exclude each other: give one of them")
        if device not in (None, "cpu"):
            raise ValueError(f"device={device!r}: use 'cpu', or gpu=N")
        self._asked = (gpu, device, meter)
        self._exits = contextlib.ExitStack()
        self._entered = self._runs = False
        self._windows: list[Metered] = []

    def __enter__(self) -> Self:
        """Open and start the meter; MeterError, in a sentence, when there is none. RuntimeError
        the second time: what the first gave stays."""
        if self._entered:
            raise RuntimeError("a bench.Meter measures once: make another one")
        gpu, device, spec = self._asked
        self._device = find_device(gpu, device)
        instrument, self._facts = open_instrument(spec, self._device)
        with contextlib.ExitStack() as stack:
            stack.callback(instrument.stop)
            self._metering = stack.enter_context(Metering(instrument, fresh=False))
            stack.enter_context(self._metering.stretch(self._keep))
            self._exits = stack.pop_all()
        self._entered = self._runs = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the meter; what was raised inside goes on."""
        self._runs = False
        self._exits.__exit__(kind, error, trace)
        self._finish()

    @contextlib.contextmanager
    def window(self, name: str) -> Iterator[Metered]:
        """A part of it, measured between the meter's own ticks; windows may overlap and nest.

        RuntimeError outside the ``with`` of the meter.
        """
        if not self._runs:
            raise RuntimeError("a window lies inside the with of its meter")
        part = Metered(name)
        start_s = time.monotonic()
        try:
            yield part
        finally:
            end_s = time.monotonic()
            part._stretch = Stretch(start_s, end_s, start_s, end_s)
            self._windows.append(part)

    @property
    def device(self) -> DeviceFacts:
        """The device whose joules they are; RuntimeError before the meter is entered."""
        self._check_entered()
        return self._device

    @property
    def instrument(self) -> MeterFacts:
        """What reads them; RuntimeError before the meter is entered."""
        self._check_entered()
        return self._facts

    def _check_entered(self) -> None:
        if not self._entered:
            raise RuntimeError("device and instrument are known once the meter is entered")

    def _keep(self, stretch: Stretch) -> None:
        self._stretch = stretch

    def _finish(self) -> None:
        idle = Idle(None, "not measured")
        setting = Setting(open_book(self._metering.facts), self._device, self._facts, idle)
        for each in (self, *self._windows):
            each._read = lambda stretches: read(setting, stretches)

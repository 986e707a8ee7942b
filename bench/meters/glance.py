"""A look at every GPU through NVML that changes nothing, for ``bench doctor``.

``python -P -m bench.meters.glance PARENT_PID``, started by ``Apart``: it announces each call and
tells what it found. Every sensor is polled for a moment, all cards in turn.
"""

from __future__ import annotations

import dataclasses
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bench.machine import die_with_parent
from bench.meters.apart import Teller
from bench.meters.nvml import device_facts
from bench.meters.nvml_errors import NvmlError
from bench.meters.nvml_library import Nvml
from bench.meters.nvml_processes import survey
from bench.meters.nvml_sensor import NvmlSensor
from bench.meters.sampling import MeterLost, Reading, TransientError
from bench.ports import MeterError
from bench.records.journal import JsonObject
from bench.records.run import MeterFacts

POLL_S = 1.3
TICKS = 12
"""Enough of them end the poll early: eleven intervals, of which the median is taken."""
PAUSE_S = 0.001


class Announcing:
    """nvidia-ml-py, each function announced by name before it can be called."""

    def __init__(self, bindings: Any, teller: Teller) -> None:
        self._bindings = bindings
        self._teller = teller

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvml"):
            self._teller.doing(name)
        return getattr(self._bindings, name)


@dataclass(slots=True)
class Polled:
    """One card's sensor and when its energy counter was seen to move."""

    index: int
    sensor: NvmlSensor
    facts: MeterFacts
    last_j: float | None = None
    moved_s: list[float] = field(default_factory=list)
    error: str | None = None

    def poll(self) -> None:
        """Read once; a sensor that is lost is left alone from then on."""
        try:
            readings = self.sensor.read(slow=False)
        except TransientError:
            return
        except MeterLost as lost:
            self.error = lost.text
            return
        for reading in readings:
            if isinstance(reading, Reading) and reading.field == "energy_j":
                if self.last_j is not None and reading.value != self.last_j:
                    self.moved_s.append(time.monotonic())
                self.last_j = reading.value

    @property
    def done(self) -> bool:
        """Whether more polling would tell no more."""
        counted = "energy_j" in self.facts.capabilities
        return self.error is not None or not counted or len(self.moved_s) >= TICKS


def look(teller: Teller, bindings: Any = None) -> None:
    """Tell of the driver, its library and each card; of their refusal, if they refuse."""
    try:
        if bindings is None:
            import pynvml

            bindings = pynvml
        with Nvml(Announcing(bindings, teller)) as nvml:
            teller.found({"system": _system(nvml)})
            cards = range(nvml.count())
            for index in cards:
                teller.found({"card": _card(nvml, index)})
            _poll(teller, nvml, cards)
    except MeterError as error:
        cause = error.__cause__
        code = cause.code if isinstance(cause, NvmlError) else None
        teller.found({"refused": str(error), "code": code})
    except ImportError as error:
        teller.found({"refused": f"nvidia-ml-py cannot be imported: {error}", "code": None})


def _system(nvml: Nvml) -> JsonObject:
    """Driver, the CUDA that it serves (12040 is 12.4) and the library's file."""
    cuda = nvml.optional(lambda: nvml.call("nvmlSystemGetCudaDriverVersion_v2"))
    return {
        "driver": nvml.optional(lambda: nvml.text("nvmlSystemGetDriverVersion")),
        "cuda": None if cuda is None else (cuda // 1000, cuda % 1000 // 10),
        "library": nvml.library(),
    }


def _card(nvml: Nvml, index: int) -> JsonObject:
    """One card's facts, settings and processes, or why it does not answer."""
    try:
        handle = nvml.open_device(index)
        device = device_facts(nvml, index)
        mode = nvml.optional(lambda: nvml.call("nvmlDeviceGetComputeMode", handle))
        found = nvml.probe(lambda: survey(nvml, handle))
    except MeterError as error:
        return {"index": index, "error": str(error)}
    known: JsonObject = {
        "index": index,
        "device": dataclasses.asdict(device),
        "compute_mode": mode,
    }
    if isinstance(found, NvmlError):
        return {**known, "processes_error": str(found)}
    return {
        **known,
        "pids": found.pids,
        "graphics": found.graphics,
        "processes_error": found.reason,
    }


def _poll(teller: Teller, nvml: Nvml, cards: range) -> None:
    """Read all sensors in turn until each counter has ticked enough, ``POLL_S`` at most."""
    opened: list[Polled] = []
    for index in cards:
        try:
            sensor = NvmlSensor(str(index), nvml)
            opened.append(Polled(index, sensor, sensor.facts()))
        except MeterError as error:
            teller.found({"sensor": {"error": str(error)}, "index": index})
    start_s = now_s = time.monotonic()
    while now_s - start_s < POLL_S and not all(each.done for each in opened):
        for each in opened:
            if not each.done:
                each.poll()
        time.sleep(PAUSE_S)
        now_s = time.monotonic()
    for each in opened:
        teller.found({"sensor": _seen(each, now_s - start_s), "index": each.index})


def _seen(each: Polled, polled_s: float) -> JsonObject:
    facts = each.facts
    gaps = [after - before for before, after in pairwise(each.moved_s)]
    return {
        "source": facts.source,
        "scope": facts.scope,
        "capabilities": facts.capabilities,
        "reason": facts.reason,
        "polled_s": polled_s,
        "ticks": len(each.moved_s),
        "tick_s": statistics.median(gaps) if gaps else None,
        "error": each.error,
    }


def main() -> None:
    """Entry point of the process; the parent decides when it ends, so SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    look(Teller())


if __name__ == "__main__":
    main()

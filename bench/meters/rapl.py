"""The processor's energy counters (RAPL) under Linux powercap. Microjoules and wraps stop here.

Format: kernel documentation, power/powercap. Since Linux 5.10 the counters are readable by root
alone (CVE-2020-8694).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.meters.sampling import MeterLost, Missing, Reading, TransientError
from bench.ports import MeterError
from bench.records.journal import Field
from bench.records.run import MeterFacts, SensorFacts

ROOT = Path("/sys/class/powercap")
# Top-level zones of the control type "intel-rapl" (AMD's too); "intel-rapl-mmio" counts the same
# packages once more, "psys" contains them all, and of their parts only the memory lies outside.
ZONE = re.compile(r"intel-rapl:\d+")
PART = re.compile(r"(intel-rapl:\d+):\d+")
PACKAGE = re.compile(r"package-\d+")
MEMORY = "dram"
BUSY = (BlockingIOError, InterruptedError, TimeoutError, ValueError)


@dataclass(slots=True)
class Domain:
    """One counter: the last raw reading and the energy since it was opened, both µJ."""

    path: Path
    range_uj: int
    raw_uj: int
    total_uj: int = 0

    def advance(self, raw_uj: int) -> None:
        """Add what has passed since the last reading, across at most one wrap."""
        passed_uj = raw_uj - self.raw_uj
        self.total_uj += passed_uj + self.range_uj if passed_uj < 0 else passed_uj
        self.raw_uj = raw_uj


def read_text(path: Path) -> str:
    """A sysfs file."""
    return path.read_text(encoding="ascii")


class RaplSensor:
    """A ``Sensor`` over all sockets: their packages summed into one rising counter, and beside it
    their memory, where the processor counts that.
    """

    period_s = 0.05

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = read_text) -> None:
        """Find the packages below ``root``; MeterError says why they cannot be read."""
        self._read = read
        try:
            self._packages = [self._domain(zone) for zone in self._zones(root)]
        except PermissionError as error:
            raise MeterError(
                f"the processor's energy counter {error.filename} is readable by root alone"
                " (Linux 5.10 and newer): run as root, or ask the administrator to let a group"
                " or a capability read it"
            ) from error
        except (OSError, ValueError) as error:
            raise MeterError(f"the processor's energy counter cannot be read: {error}") from error
        if not self._packages:
            raise MeterError(
                f"no energy counter of the processor (RAPL) under {root}: a virtual machine hides"
                " it, or the module intel_rapl_msr is not loaded; use --assume-watts W"
            )
        self._memory_reason: str | None = None
        self._memory = self._find_memory(root)

    def facts(self) -> MeterFacts:
        """The processor packages as one instrument."""
        count = len(self._packages)
        memory: tuple[Field, ...] = ("dram_energy_j",) if self._memory else ()
        return MeterFacts(
            source="rapl",
            name=f"RAPL, {count} package{'s' if count > 1 else ''}",
            scope="package",
            sensor=SensorFacts(scope="package"),
            capabilities=("energy_j", *memory),
            reason=self._memory_reason,
        )

    def read(self, *, slow: bool) -> Sequence[Reading | Missing]:  # noqa: ARG002 - nothing is slow
        """The energy in joules since the sensor was opened, of packages and of memory."""
        try:
            readings: list[Reading | Missing] = [Reading("energy_j", self._joules(self._packages))]
        except BUSY as error:
            raise TransientError(f"RAPL: {error}") from error
        except OSError as error:
            raise MeterLost("NO_ENERGY", f"the energy counter was lost: {error}") from error
        return [*readings, *self._read_memory()]

    def survey(self) -> None:
        """A processor serves every process; nobody is a stranger on it."""

    def _read_memory(self) -> list[Reading | Missing]:
        """Memory is a matter beside: its loss ends its own series alone."""
        if not self._memory:
            return []
        try:
            return [Reading("dram_energy_j", self._joules(self._memory))]
        except BUSY:
            return []
        except OSError as error:
            self._memory = []
            return [Missing("dram_energy_j", f"the memory's counter was lost: {error}")]

    def _zones(self, root: Path) -> list[Path]:
        zones = sorted(path for path in root.glob("intel-rapl:*") if ZONE.fullmatch(path.name))
        return [zone for zone in zones if PACKAGE.match(self._read(zone / "name"))]

    def _find_memory(self, root: Path) -> list[Domain]:
        """The memory of the packages; all of it or, since half a sum misleads, none."""
        packages = {domain.path.name for domain in self._packages}
        parts = ((path, PART.fullmatch(path.name)) for path in sorted(root.glob("intel-rapl:*:*")))
        try:
            found = [
                self._domain(path)
                for path, part in parts
                if part and part[1] in packages and self._read(path / "name").strip() == MEMORY
            ]
        except (OSError, ValueError) as error:
            self._memory_reason = f"the memory's counter cannot be read: {error}"
            return []
        if not found:
            self._memory_reason = "this processor does not count its memory's energy"
        return found

    def _joules(self, domains: list[Domain]) -> float:
        raw_uj = [self._number(domain.path, "energy_uj") for domain in domains]
        for domain, raw in zip(domains, raw_uj, strict=True):
            domain.advance(raw)
        return sum(domain.total_uj for domain in domains) / 1e6

    def _domain(self, zone: Path) -> Domain:
        return Domain(
            zone, self._number(zone, "max_energy_range_uj"), self._number(zone, "energy_uj")
        )

    def _number(self, zone: Path, name: str) -> int:
        return int(self._read(zone / name))

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
from bench.records.run import MeterFacts, SensorFacts

ROOT = Path("/sys/class/powercap")
# Top-level zones of the control type "intel-rapl" (AMD's too); "intel-rapl-mmio" counts the same
# packages once more, "intel-rapl:0:0" is a part of a package and "psys" contains them all.
ZONE = re.compile(r"intel-rapl:\d+")
PACKAGE = re.compile(r"package-\d+")


@dataclass(slots=True)
class Package:
    """One socket (or die): the last raw reading and the energy since it was opened, both µJ."""

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
    """A ``Sensor`` over the package domains of all sockets, summed into one rising counter."""

    period_s = 0.05

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = read_text) -> None:
        """Find the packages below ``root``; MeterError says why they cannot be read."""
        self._read = read
        zones = sorted(path for path in root.glob("intel-rapl:*") if ZONE.fullmatch(path.name))
        try:
            self._packages = [
                Package(zone, self._number(zone, "max_energy_range_uj"), self._energy_uj(zone))
                for zone in zones
                if PACKAGE.match(self._read(zone / "name"))
            ]
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

    def facts(self) -> MeterFacts:
        """The processor packages as one instrument."""
        count = len(self._packages)
        return MeterFacts(
            source="rapl",
            name=f"RAPL, {count} package{'s' if count > 1 else ''}",
            scope="package",
            sensor=SensorFacts(scope="package"),
            capabilities=("energy_j",),
        )

    def read(self, *, slow: bool) -> Sequence[Reading | Missing]:  # noqa: ARG002 - nothing is slow
        """The energy in joules of all packages since the sensor was opened."""
        try:
            raw_uj = [self._energy_uj(package.path) for package in self._packages]
        except (BlockingIOError, InterruptedError, TimeoutError, ValueError) as error:
            raise TransientError(f"RAPL: {error}") from error
        except OSError as error:
            raise MeterLost("NO_ENERGY", f"the energy counter was lost: {error}") from error
        for package, raw in zip(self._packages, raw_uj, strict=True):
            package.advance(raw)
        return [Reading("energy_j", sum(package.total_uj for package in self._packages) / 1e6)]

    def _energy_uj(self, zone: Path) -> int:
        return self._number(zone, "energy_uj")

    def _number(self, zone: Path, name: str) -> int:
        return int(self._read(zone / name))

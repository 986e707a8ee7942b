"""The machine around, out of /sys and /proc: energy counters, governors, load, limits, guests."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from bench.doctor.facts import HostFacts, RaplFacts
from bench.machine import legible, virtualised
from bench.meters.rapl import RaplSensor
from bench.ports import MeterError
from bench.records.run import DeviceFacts

POWERCAP = "sys/class/powercap"
CLOCK_SOURCE = "sys/devices/system/clocksource/clocksource0"
MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
"""Files that a container's maker leaves in its root."""


def host_facts(
    cpu: DeviceFacts, root: Path = Path("/"), environ: Mapping[str, str] = os.environ
) -> HostFacts:
    """What is below ``root``, of the processor ``cpu``."""
    release = _read(root / "proc/sys/kernel/osrelease")
    return HostFacts(
        name=legible(cpu.name),
        threads=cpu.threads or 1,
        rapl=rapl_facts(root / POWERCAP),
        architecture=platform.machine(),
        governors=_governors(root),
        load=_load(root),
        clock_source=_read(root / CLOCK_SOURCE / "current_clocksource") or None,
        clock_sources=tuple(_read(root / CLOCK_SOURCE / "available_clocksource").split()),
        virtual=virtualised(),
        wsl="microsoft" in release.lower(),
        container=_container(root, environ),
        quota_cores=_quota(root),
    )


def rapl_facts(root: Path) -> RaplFacts:
    """Whether a run could read the processor's energy, by opening the sensor that it would use."""
    try:
        facts = RaplSensor(root).facts()
    except MeterError as error:
        if isinstance(error.__cause__, PermissionError):
            return RaplFacts("denied", str(error))
        if error.__cause__ is not None:
            return RaplFacts("broken", str(error))
        return RaplFacts("absent", str(error).partition(":")[0])
    return RaplFacts("read", facts.name)


def _governors(root: Path) -> tuple[str, ...]:
    cores = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({name for path in cores if (name := _read(path))}))


def _load(root: Path) -> float:
    first = _read(root / "proc/loadavg").partition(" ")[0]
    return float(first) if first else 0.0


def _container(root: Path, environ: Mapping[str, str]) -> str | None:
    """What the container calls itself, if it is one (systemd's container interface, file marks)."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if named := environ.get("container"):
        return named
    return next((name for mark, name in MARKS.items() if (root / mark).exists()), None)


def _quota(root: Path) -> float | None:
    """Cores' worth of time that the group may use (cgroup v2 and v1), None without a limit."""
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

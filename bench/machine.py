"""The machine around the run: its clock, its processor, and the provenance of what runs on it."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import bench
from bench.records.journal import ClockPair, JsonObject
from bench.records.record import Software
from bench.records.run import DeviceFacts

PACKAGES = (
    "numpy", "scipy", "numba", "llvmlite", "torch", "safetensors", "cupy-cuda12x", "cupy-cuda13x",
    "numba-cuda", "nvidia-ml-py", "nvidia-cuda-nvrtc", "triton", "pydantic",
)  # fmt: skip
CPU_FEATURES = ("avx512f", "avx2", "sha_ni", "sse4_1", "asimd", "sha2")


class RealClock:
    """CLOCK_MONOTONIC, the clock that every process of the machine shares."""

    def now(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class VirtualClock:
    """Time that passes only when slept; for simulated devices."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass at once."""
        self._now_s += seconds


def legible(text: str) -> str:
    """What the system gave as bytes, a path or an argument, as text that can be written: a byte
    that is no UTF-8 becomes U+FFFD."""
    return os.fsencode(text).decode("utf-8", "replace")


def clock_pair() -> ClockPair:
    """The machine's three clocks at one instant: the tightest of a few readings."""
    readings = []
    for _ in range(5):
        before_s = time.monotonic()
        wall_s, boot_s = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
        after_s = time.monotonic()
        readings.append((after_s - before_s, ClockPair((before_s + after_s) / 2, wall_s, boot_s)))
    return min(readings, key=lambda reading: reading[0])[1]


def cpu_device() -> DeviceFacts:
    """The processor as the device under test, with the cores this process may use."""
    name, flags = _cpuinfo()
    return DeviceFacts(
        kind="cpu",
        name=name,
        threads=len(os.sched_getaffinity(0)),
        features=tuple(feature for feature in CPU_FEATURES if feature in flags),
    )


def host_facts() -> JsonObject:
    """What the record says of the host: kernel, processor, memory. No host name, no user."""
    import psutil

    name, _ = _cpuinfo()
    return {
        "os": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": name,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "virtualised": virtualised(),
    }


def virtualised() -> bool:
    """Whether a hypervisor shows itself to the processor."""
    return "hypervisor" in _cpuinfo()[1]


def software(kernel_sha256: dict[str, str]) -> Software:
    """Versions of what ran, read from package metadata without importing any of it."""
    return Software(
        version=bench.__version__,
        git=_git_commit(),
        python=platform.python_version(),
        packages=installed(PACKAGES),
        kernel_sha256=kernel_sha256,
        derived_by=bench.__version__,
    )


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of those distributions that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _cpuinfo() -> tuple[str, frozenset[str]]:
    name, flags = platform.processor() or platform.machine(), ""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return name, frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() in {"flags", "Features"}:
            flags = value
    return name, frozenset(flags.split())


def _git_commit() -> str | None:
    """Commit of the checkout the code runs from, "+dirty" when changed; None when installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+dirty" if changed else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""What the doctor is told of a machine: plain facts, None for what could not be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SensorLook:
    """What a card's power sensor gave in a short poll, or why it gave nothing.

    ``polled_s`` is how long was polled, ``ticks`` how often the energy counter moved meanwhile and
    ``tick_s`` the median time between two of these.
    """

    source: str | None = None
    scope: str | None = None
    capabilities: tuple[str, ...] = ()
    reason: str | None = None
    polled_s: float = 0.0
    ticks: int = 0
    tick_s: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One GPU by NVML index. ``error`` says why there is no more than that.

    ``pids`` compute on it, ``graphics`` draw; ``processes_error`` says why they cannot be told.
    ``calibrated_at`` is the date of its sensor's stored calibration.
    """

    index: int
    device: DeviceFacts | None = None
    error: str | None = None
    compute_mode: int | None = None
    pids: tuple[int, ...] | None = None
    graphics: tuple[int, ...] | None = None
    processes_error: str | None = None
    sensor: SensorLook | None = None
    calibrated_at: str | None = None

    @property
    def title(self) -> str:
        """How items speak of it."""
        return f"gpu {self.index}"


@dataclass(frozen=True, slots=True)
class NvmlFacts:
    """The driver as its management library shows it, or why it cannot be asked.

    ``bus`` and ``asleep`` are PCI addresses of NVIDIA GPUs, all and those powered down, from the
    kernel; where one sleeps, the library is not asked, for that would wake it. ``refused`` is the
    library's own answer, ``code`` its nvmlReturn_t, ``trouble`` a process that hung or died on it.
    """

    bus: tuple[str, ...] = ()
    asleep: tuple[str, ...] = ()
    module_loaded: bool = False
    driver: str | None = None
    cuda: Version | None = None
    library: JsonObject | None = None
    refused: str | None = None
    code: int | None = None
    trouble: str | None = None
    cards: tuple[CardFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class CudaFacts:
    """CUDA's driver library: the newest CUDA it serves, and the GPUs' UUIDs by CUDA ordinal.

    ``code`` is the CUresult of the call that failed, ``trouble`` a process that hung or died.
    """

    found: bool = False
    version: Version | None = None
    uuids: tuple[str, ...] = ()
    code: int | None = None
    call: str | None = None
    trouble: str | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class RaplFacts:
    """The processor's energy counters: read, denied, broken or absent; ``text`` says more."""

    state: Literal["read", "denied", "broken", "absent"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The machine around: its processor, what reads its energy, and what may disturb a run.

    ``load`` is the mean of runnable tasks over the last minute, ``quota_cores`` what a container's
    limit leaves of the processor.
    """

    name: str
    threads: int
    rapl: RaplFacts
    architecture: str = "x86_64"
    governors: tuple[str, ...] = ()
    load: float = 0.0
    clock_source: str | None = None
    clock_sources: tuple[str, ...] = ()
    virtual: bool = False
    wsl: bool = False
    container: str | None = None
    quota_cores: float | None = None


@dataclass(frozen=True, slots=True)
class SoftwareFacts:
    """What is installed, read without importing torch or CuPy.

    ``versions`` by distribution; ``torch_cuda`` is the CUDA that torch was built with, None for a
    CPU build. ``kernels`` are the CPU's hash kernels, the best first, ``kernels_error`` why there
    are none. ``setup`` is the command that makes a checkout's environment anew, and ``installer``
    the system's package manager.
    """

    python: str
    python_version: str
    versions: dict[str, str] = field(default_factory=dict)
    torch_cuda: str | None = None
    kernels: tuple[str, ...] = ()
    kernels_error: str | None = None
    thriftiest: str | None = None
    compiler: str | None = None
    compiler_asked: str = "g++"
    headers: bool = True
    setup: str | None = None
    installer: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """A folder that runs write to; None for what cannot be told of it."""

    path: str
    writable: bool
    free_bytes: int | None = None
    noexec: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The whole machine; ``locks`` is None where no folder is open to all users."""

    nvml: NvmlFacts
    cuda: CudaFacts
    host: HostFacts
    software: SoftwareFacts
    results: PlaceFacts
    cache: PlaceFacts
    locks: PlaceFacts | None

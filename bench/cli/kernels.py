"""Which hash kernel a device runs: those it can, the one that is taken, and what bounds it.

Names are "BACKEND:VARIANT", as the kernels' own room spells them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.cli.audited import nearest, shipped
from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.records.audit import AuditRow, HashLimit
from bench.records.run import DeviceFacts
from bench.store import remembered_kernel

if TYPE_CHECKING:
    from bench.cli.rig import Target

SIMULATED = "cupy:plain"
PACKAGES = {"cupy": "cupy", "numba-cuda": "numba_cuda"}
"""GPU back end → what must be importable for it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel and, in one line, why it was taken."""

    kernel: str
    note: str


def memory_key(device: DeviceFacts) -> str:
    """What a device's thriftiest kernel is remembered under: its UUID, a processor's name."""
    return device.uuid or device.name


def default_kernel(target: Target) -> Choice:
    """The thriftiest kernel known for this device, else the plain one; a processor's best."""
    device = target.facts
    if device.kind == "sim":
        return Choice(SIMULATED, f"Hash kernel: {SIMULATED}, simulated.")
    known = remembered_kernel(memory_key(device))
    if known is not None and known in runnable(target):
        return Choice(known, f"Hash kernel: {known}, the thriftiest measured on this device.")
    if device.kind == "cpu":
        return Choice("numba-cpu", "Hash kernel: numba-cpu, its best variant for this processor.")
    plain = "cupy:plain" if _installed("cupy") else "numba-cuda:plain"
    finding = "bench hash --kernel all finds this card's thriftiest"
    return Choice(plain, f"Hash kernel: {plain}; {finding}.")


def runnable(target: Target) -> tuple[str, ...]:
    """Every kernel of this device whose back end is installed, each back end's best known first."""
    if target.facts.kind == "sim":
        return (SIMULATED,)
    from bench.kernels.sha256d import workload

    device = "cpu" if target.facts.kind == "cpu" else "cuda"
    backends = [name for name, on in workload.KERNELS.items() if on == device]
    return tuple(name for each in backends if _installed(each) for name in _kernels_of(each))


def _kernels_of(backend: str) -> tuple[str, ...]:
    """Its variants by name; of one that cannot even be imported the name alone, to be tried."""
    from bench.kernels.sha256d import workload

    try:
        return tuple(f"{backend}:{variant}" for variant in workload.variants(backend))
    except ImportError:
        return (backend,)


def asked_kernels(asked: str, target: Target) -> tuple[str, ...]:
    """What --kernel names, or all; Refusal for what this device does not run."""
    known = runnable(target)
    if not known:
        text = f"no hash kernel can run on {target.facts.name}: install cupy or numba-cuda"
        raise Refusal(ENVIRONMENT, f'{text}, such as by pip install "joulemark[cuda13]"')
    if asked == "all":
        return known
    if asked in known:
        return (asked,)
    if of_backend := by_name(known, asked):
        return (of_backend[0],)
    text = f"--kernel {asked}: {target.facts.name} runs {', '.join(known)}"
    raise Refusal(USAGE, f"{text}, or all of them: all")


def limit_of(kernel: str, target: Target) -> HashLimit | str:
    """What bounds the kernel on this device, or why that is not known.

    The counts are the shipped audit's; CuPy compiles with the NVRTC that is installed, so another
    version than the audited one makes code that nobody counted.
    """
    if target.facts.kind == "cpu":
        return "the machine code of CPU kernels is not audited"
    if target.profile is None:
        return f"no profile tells how many multiprocessors {target.facts.name} has"
    row = nearest(shipped(), kernel, target.facts.compute_capability or "")
    if row is None:
        return f"{kernel} was not audited for compute capability {target.facts.compute_capability}"
    if target.facts.kind == "gpu" and kernel.startswith("cupy:"):
        from bench.kernels.sha256d.toolchain import ToolMissingError, nvrtc_version

        try:
            here = nvrtc_version()
        except ToolMissingError as error:
            return str(error)
        if here != row.compiler:
            return f"the audit counted the code of {row.compiler}, this is {here}"
    return limit(row, target.profile.sm.value)


def limit(row: AuditRow, multiprocessors: float) -> HashLimit:
    """The audited counts per double hash, with a card's multiprocessors."""
    return HashLimit(
        architecture=row.architecture,
        compiler=row.compiler,
        instructions=row.instructions / row.midstates,
        alu=row.alu / row.midstates,
        fma_slots=row.fma_slots / row.midstates,
        multiprocessors=int(multiprocessors),
    )


def by_name(kernels: Iterable[str], asked: str) -> list[str]:
    """Those of the kernels that a name means: one, a back end's, or all."""
    return [k for k in kernels if asked in ("all", k) or k.startswith(f"{asked}:")]


def _installed(backend: str) -> bool:
    package = PACKAGES.get(backend)
    return package is None or importlib.util.find_spec(package) is not None

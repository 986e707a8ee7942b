"""The static audit: every GPU kernel compiled for every architecture, its machine code counted.

No driver and no card are needed, and the counts have no noise. What a count means for joules stops
here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from .. import private_cache
from .cuda_source import KERNEL, MAX_REGISTERS, SOURCE, VARIANTS
from .sass import Counts, count_hot_loop
from .toolchain import (
    Binary,
    CompileError,
    architectures,
    assemble,
    compile_cuda,
    disassemble,
    nvrtc_version,
    program_version,
)

Target = tuple[str, str, int]
"""Back end, variant, architecture: ("cupy", "balanced", 90)."""

_USAGE = re.compile(
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)
_ROOM = Path(__file__).parent
_SOURCES = {
    "cupy": ("sha256d.cuh", "cuda_source.py"),
    "numba-cuda": ("numba_cuda.py", "compression.py", "lowering.py", "header.py"),
}
_READERS = ("audit.py", "sass.py", "toolchain.py")


@dataclass(frozen=True, slots=True)
class PerHash:
    """The part of a pass that one double hash costs; a launch of k midstates makes k in a pass."""

    instructions: float
    alu: float
    fma_slots: float

    @property
    def issue_slots(self) -> float:
        """Clocks per lane that the busiest of ALU, FMA pipe and issue needs."""
        return max(self.alu, self.fma_slots, self.instructions / 2)


@dataclass(frozen=True, slots=True)
class Audit:
    """One kernel on one architecture. ``counts`` are per nonce, ``per_hash`` per double hash."""

    kernel: str
    variant: str
    architecture: str
    compiler: str
    midstates: int
    registers: int
    stack_bytes: int
    spill_bytes: int
    counts: Counts
    per_hash: PerHash

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers."""
        return asdict(self)


def targets(among: Sequence[int] | None = None) -> list[Target]:
    """Every variant of both back ends for every architecture that NVRTC offers, or those given."""
    chosen = architectures() if among is None else among
    kernels = [("cupy", name) for name in VARIANTS] + [("numba-cuda", "plain")]
    return [(kernel, variant, each) for each in chosen for kernel, variant in kernels]


def audit_all(
    chosen: Iterable[Target],
    processes: int | None = None,
    done: Callable[[], object] = lambda: None,
) -> list[Audit]:
    """The audits in order, compiled by several processes at once; ``done`` is called for each.

    ``ToolMissingError`` names a tool that is not installed and how to get it, ``CompileError`` what
    a tool said; OSError where the cache takes no more.
    """
    todo = list(chosen)
    for tool in ("ptxas", "nvdisasm"):
        program_version(tool)
    missing = [target for target in todo if not private_cache.known(_name(target))]
    workers = min(processes or len(os.sched_getaffinity(0)), len(missing))
    together = missing if workers > 1 else []  # NVRTC compiles one at a time in a process
    if together:
        _make_all(together, workers, done)
    audits = []
    for target in todo:
        audits.append(audit(target))
        if target not in together:
            done()
    return audits


def _make_all(missing: Sequence[Target], workers: int, done: Callable[[], object]) -> None:
    """Fill the cache. What ends it early ends the workers: NVRTC hears no signal for seconds."""
    context, place = get_context("spawn"), (private_cache.folder(),)
    with ProcessPoolExecutor(workers, context, private_cache.use, place) as pool:
        try:
            for _ in pool.map(audit, missing):
                done()
        except BrokenProcessPool as error:
            raise CompileError("a compiling process was killed: is memory short?") from error
        except BaseException:
            for worker in active_children():
                worker.terminate()
            raise


def audit(target: Target) -> Audit:
    """One kernel on one architecture, kept until its sources or the tools change."""
    (made,) = private_cache.kept(
        [_name(target)], lambda: [json.dumps(_make(target).to_json()).encode()]
    )
    facts = json.loads(made.read_bytes())
    counts, per_hash = Counts(**facts.pop("counts")), PerHash(**facts.pop("per_hash"))
    return Audit(**facts, counts=counts, per_hash=per_hash)


def _name(target: Target) -> str:
    kernel, variant, architecture = target
    files = [(_ROOM / name).read_bytes() for name in (*_SOURCES[kernel], *_READERS)]
    tools = [nvrtc_version(), program_version("ptxas"), program_version("nvdisasm")]
    if kernel == "numba-cuda":
        from .numba_cuda import compiler_version

        tools.append(compiler_version())
    key = private_cache.digest(*files, *tools, kernel, variant, str(architecture))
    return f"{key}.json"


def _make(target: Target) -> Audit:
    kernel, variant, architecture = target
    binary, function, midstates = _compiled(target)
    counts = count_hot_loop(disassemble(binary.cubin), function)
    stack, stores, loads, registers = _usage(binary.log, function)
    hashes = (counts.instructions, counts.alu, counts.fma_slots)
    return Audit(
        kernel=kernel,
        variant=variant,
        architecture=f"sm_{architecture}",
        compiler=binary.compiler,
        midstates=midstates,
        registers=registers,
        stack_bytes=stack,
        spill_bytes=stores + loads,
        counts=counts,
        per_hash=PerHash(*(number / midstates for number in hashes)),
    )


def _compiled(target: Target) -> tuple[Binary, str, int]:
    """The binary, a part of its scan kernel's name, and how many hashes a nonce stands for."""
    kernel, variant, architecture = target
    if kernel == "cupy":
        chosen = VARIANTS[variant]
        source = SOURCE.read_text(encoding="utf-8")
        return compile_cuda(source, architecture, chosen.options), KERNEL, chosen.midstates
    from .numba_cuda import scan_kernel, scan_ptx

    options = [f"--maxrregcount={MAX_REGISTERS}"]
    name = scan_kernel(architecture).__name__
    return assemble(scan_ptx(architecture), architecture, options), name, 1


def _usage(log: str, function: str) -> tuple[int, ...]:
    """Stack, spill stores, spill loads (bytes) and registers, as the assembler reports them."""
    begins = log.rfind(function)
    found = _USAGE.search(log, begins) if begins >= 0 else None
    if found is None:
        raise CompileError(f"the assembler's log has no resource usage of {function!r}:\n{log}")
    return tuple(int(number) for number in found.groups())

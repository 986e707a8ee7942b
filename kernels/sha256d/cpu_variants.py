"""Which forms of the CPU kernel there are, what each asks of the processor, which is best here."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache

from llvmlite import binding
from numba import config
from numba.core.registry import cpu_target

from .cpu_forms import Form, QuadForm, ScalarForm, VectorForm
from .lowering import TernaryWords
from .sha_extension import Sha2Arm, ShaNi

X86, ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a form asks of the processor: an architecture and LLVM's name of a feature."""

    machines: tuple[str, ...]
    feature: str


FORMS: dict[str, Form] = {
    "avx512": VectorForm(16, 4, TernaryWords),
    "sha-ni": QuadForm(ShaNi, 4, 2),
    "sha2-arm": QuadForm(Sha2Arm, 4, 2),
    "avx2": VectorForm(8, 4),
    "sse4": VectorForm(4, 4),
    "portable": ScalarForm(),
}
"""Every variant, best first: the order that measurement gave (docs/kernels-cpu.md)."""

NEEDS = {
    "avx512": Needs(X86, "avx512f"),
    "sha-ni": Needs(X86, "sha"),
    "sha2-arm": Needs(ARM, "sha2"),
    "avx2": Needs(X86, "avx2"),
    "sse4": Needs(X86, "sse4.1"),
}


@cache
def _features() -> frozenset[str]:
    """What both this CPU and Numba's code generator, which its settings can restrict, offer."""
    _, _, flags = cpu_target.target_context.codegen().magic_tuple()
    allowed = {flag[1:] for flag in flags.split(",") if flag.startswith("+")}
    return frozenset(name for name, has in binding.get_host_cpu_features().items() if has) & allowed


def variants() -> tuple[str, ...]:
    """The variants that this CPU can run, best known first."""
    return tuple(name for name in FORMS if not _lack(name))


def require(variant: str) -> None:
    """Refuse with ValueError a variant that does not exist or that this CPU cannot run."""
    if variant not in FORMS:
        raise ValueError(f"kernel: numba-cpu has no variant {variant!r}, only {', '.join(FORMS)}")
    if config.DISABLE_JIT:  # type: ignore[attr-defined, unused-ignore]
        raise ValueError("kernel: numba-cpu needs Numba's compiler: unset NUMBA_DISABLE_JIT")
    if lack := _lack(variant):
        raise ValueError(
            f"kernel: numba-cpu:{variant} needs {lack}; here run {', '.join(variants())}"
        )


def _lack(variant: str) -> str | None:
    """What the variant needs and this machine lacks."""
    needs = NEEDS.get(variant)
    if needs is None:
        return None
    if platform.machine() not in needs.machines:
        return f"a CPU of the kind {needs.machines[0]}, not {platform.machine()}"
    if needs.feature not in _features():
        return f"the CPU feature {needs.feature!r}, which this one does not offer"
    return None

"""What a static audit counted in the compiled code of a hash kernel. Names and numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One kernel on one architecture: counts of one pass of its hot loop when nothing is found.

    A pass makes ``midstates`` double hashes. ``kernel`` is "BACKEND:VARIANT", ``compiler`` what the
    counts hang on, ``fma_slots`` issue slots of the FMA pipe, ``memory`` the loads and stores to
    global, shared and local memory, ``other`` the instructions whose pipe the audit does not know.
    """

    kernel: str
    architecture: str
    compiler: str
    midstates: int
    instructions: int
    alu: int
    fma_slots: int
    memory: int
    other: int
    registers: int
    stack_bytes: int
    spill_bytes: int

    def __post_init__(self) -> None:
        if self.midstates < 1 or min(self.instructions, self.alu) < 1:
            raise ValueError(f"{self.kernel} on {self.architecture}: a pass does some work")

    @property
    def capability(self) -> int:
        """The architecture as a number: 90 for sm_90."""
        return int(self.architecture.removeprefix("sm_"))


@dataclass(frozen=True, slots=True)
class HashLimit:
    """What bounds a hash kernel on a card: audited counts per double hash, and multiprocessors."""

    architecture: str
    compiler: str
    instructions: float
    alu: float
    fma_slots: float
    multiprocessors: int

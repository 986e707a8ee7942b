"""``sha256d.cuh`` seen from the host: its variants, how each is compiled, what a launch is given.

Neither a compiler nor a device is touched here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .compression import INTEGERS, IV, K, rounds, small0, small1
from .scanner import Work

SOURCE = Path(__file__).with_name("sha256d.cuh")
KERNEL = "sha256d_scan"
MESSAGE_KERNEL = "sha256_message"
MAX_REGISTERS = 48


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compile the kernel: the arithmetic's pipes, and the siblings of one launch."""

    pipes: str
    midstates: int

    @property
    def options(self) -> tuple[str, ...]:
        """For NVRTC; the architecture is not among them."""
        return (
            "--std=c++17",
            f"--maxrregcount={MAX_REGISTERS}",
            f"-DPIPES={self.pipes}",
            f"-DMIDSTATES={self.midstates}",
        )


VARIANTS: Mapping[str, Variant] = {
    "two-midstate-balanced": Variant("Balanced<43>", 2),
    "balanced": Variant("Balanced<17>", 1),
    "two-midstate": Variant("Plain", 2),
    "plain": Variant("Plain", 1),
}
"""Highest audited ceiling first. The rotations moved keep the FMA pipe at 1450 slots per hash."""

FACTORS = np.array([1, 1 << 29, 1 << 22, 1 << 30], dtype=np.uint32)
"""The ``.cuh``'s Factors: 1, and what shifts right by 3 and 10 and rotates right by 2."""


@functools.lru_cache(maxsize=16)
def launch_words(works: tuple[Work, ...]) -> npt.NDArray[np.uint32]:
    """The ``.cuh``'s Work, word for word: 21 of each header, then 8 that all share."""
    words: list[int] = []
    for work in works:
        words += _header_words(work)
    return np.array([*words, *_shared_words(works[0][16:])], dtype=np.uint32)


def _header_words(work: Work) -> list[int]:
    midstate, state = work[:8], work[8:16]
    early = [
        INTEGERS.add(state[7], K[4], 0x80000000),
        INTEGERS.add(state[6], K[5]),
        INTEGERS.add(state[5], K[6]),
    ]
    after = rounds(INTEGERS, IV, [midstate[0], *[0] * 15], 0, 1)
    return [*midstate, *state, *early, int(after[0]), int(after[4])]


def _shared_words(tail: Sequence[int]) -> list[int]:
    w16, w17, w2 = tail
    far16, near16 = small0(INTEGERS, w16), small1(INTEGERS, w16)
    far17, near17 = small0(INTEGERS, w17), small1(INTEGERS, w17)
    add = INTEGERS.add
    return [
        w16,
        w17,
        add(w16, K[16]),
        add(w17, K[17]),
        add(w2, near16),
        add(near17, INTEGERS.xor(1 << 24, 1 << 13, 1 << 28)),  # W19 takes in W4 = 2^31
        add(640, far16),
        add(w16, far17),
    ]

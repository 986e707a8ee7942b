"""How many threads a kernel is launched with: tried once on the card, then remembered.

Devices and compilers stop here: a launch is a function from a shape to its seconds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from .. import private_cache

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Geometry:
    """Blocks resident on one SM, and threads of a block."""

    blocks_per_sm: int
    threads: int


@dataclass(frozen=True, slots=True)
class Multiprocessor:
    """What one SM holds at a time."""

    threads: int
    registers: int


def candidates(sm: Multiprocessor, registers: int) -> list[Geometry]:
    """Shapes that leave no block waiting: all that fits an SM, three quarters of it, half.

    ``registers`` are a thread's; the hardware gives a warp registers in steps of 256, eight a
    thread (CUDA Occupancy Calculator, every architecture from 7.5).
    """
    each = -(-registers // 8) * 8
    found = []
    for threads in (256, 128, 512):
        fit = min(sm.threads, sm.registers // each) // threads
        shapes = {fit, fit * 3 // 4, fit // 2} - {0}
        found += [Geometry(blocks, threads) for blocks in sorted(shapes, reverse=True)]
    return found


def fastest(shapes: Sequence[Geometry], seconds: Callable[[Geometry], float]) -> Geometry:
    """The shape with the shortest median over interleaved rounds; the first round only warms."""
    taken: dict[Geometry, list[float]] = {shape: [] for shape in shapes}
    for turn in range(_ROUNDS + 1):
        for shape, times in taken.items():
            elapsed_s = seconds(shape)
            if turn:
                times.append(elapsed_s)
    return min(shapes, key=lambda shape: statistics.median(taken[shape]))


def remembered(
    key: Sequence[str], shapes: Sequence[Geometry], seconds: Callable[[Geometry], float]
) -> Geometry:
    """``fastest``, tried once for a key such as (UUID, variant, binary) and then read back."""
    name = f"{private_cache.digest('geometry', *key)}.json"

    def tried() -> list[bytes]:
        return [json.dumps(asdict(fastest(shapes, seconds))).encode()]

    (path,) = private_cache.kept([name], tried)
    return Geometry(**json.loads(path.read_bytes()))

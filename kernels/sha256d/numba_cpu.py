"""SHA-256d on the CPU by Numba: one nogil loop per thread, in the form that fits the processor.

Source: FIPS 180-4; Bitcoin's header layout. The arithmetic is LLVM IR of ``cpu_forms``, so nothing
hangs on the compiler's own vectoriser but the portable variant, which is all it needs.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import int64, uint32
from numba.extending import intrinsic

from . import header
from .compression import IV, message_blocks
from .cpu_forms import ALIGNMENT
from .cpu_variants import FORMS, require, variants
from .provenance import source_digests
from .scanner import CAPACITY, Collect, Work, complete

__all__ = ["CpuScanner", "open_scanner", "reference", "require", "variants"]

njit: Any = numba.njit  # its annotations do not know of kernels made of intrinsics
types: Any = numba.types

# ---- Plain reference ----------------------------------------------------------------------------

reference = header.scan_reference

# ---- Fast version -------------------------------------------------------------------------------


def _pointers(target: Any, builder: Any, kinds: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    return [
        target.make_array(kind)(target, builder, value).data if kind != types.uint32 else value
        for kind, value in zip(kinds, values, strict=True)
    ]


def _lowered(variant: Any, method: str, result: Any, *operands: Any) -> Any:
    """An intrinsic's type and IR: a method of the form that ``variant`` names."""
    form = FORMS[variant.literal_value]

    def lower(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        plain = _pointers(target, builder, signature.args[1:], args[1:])
        value = getattr(form, method)(builder, *plain)
        return target.get_dummy_value() if result == types.void else value

    return result(variant, *operands), lower


def _type_expand(_context: Any, variant: Any, packed: Any, first: Any, scratch: Any) -> Any:
    """``Form.expand``."""
    return _lowered(variant, "expand", types.void, packed, first, scratch)


def _type_hits(_context: Any, variant: Any, packed: Any, scratch: Any, turn: Any, mask: Any) -> Any:
    """``Form.hits``."""
    return _lowered(variant, "hits", types.uint32, packed, scratch, turn, mask)


def _type_compress(_context: Any, variant: Any, chain: Any, block: Any) -> Any:
    """``Form.compress``."""
    return _lowered(variant, "compress", types.void, chain, block)


_expand: Any = intrinsic(prefer_literal=True)(_type_expand)
_hits: Any = intrinsic(prefer_literal=True)(_type_hits)
_compress: Any = intrinsic(prefer_literal=True)(_type_compress)


def _build(variant: str, identity: str) -> tuple[Any, Any]:
    """The compiled loop over nonces and the compiled compression.

    Numba keys its disk cache by the CPU, the function's own file and its closure alone, so the
    closure holds the variant and ``identity``, a digest of everything the machine code comes from.
    """
    form = FORMS[variant]
    nonces, turns, bits = form.nonces, form.turns, form.midstates * form.nonces // form.turns

    def loop(packed, first, count, mask, scratch, found, totals):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        """Write each midstate's nonces that meet the mask to its row of ``found``; count them all,
        also beyond it.
        """
        _ = identity
        done = int64(0)
        while done < count:
            _expand(variant, packed, uint32(first + done), scratch)
            for turn in range(turns):
                met = _hits(variant, packed, scratch, uint32(turn), mask)
                if met == 0:
                    continue
                for bit in range(bits):
                    place = turn * bits + bit
                    at = done + place % nonces
                    if (met >> bit) & 1 and at < count:
                        row = place // nonces
                        total = totals[row]
                        if total < found.shape[1]:
                            found[row, total] = first + at
                        totals[row] = total + 1
            done += nonces

    def block(chain, words):  # type: ignore[no-untyped-def]
        _ = identity
        _compress(variant, chain, words)

    words = types.Array(types.uint32, 1, "C")
    rows = types.Array(types.uint32, 2, "C")
    scalars = (types.uint32, types.int64, types.uint32)
    scan_signature = types.void(words, *scalars, words, rows, types.Array(types.int64, 1, "C"))
    options = {"nogil": True, "cache": True}
    return njit(scan_signature, **options)(loop), njit(types.void(words, words), **options)(block)


# ---- Launcher -----------------------------------------------------------------------------------


def _aligned(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """A copy that starts where a whole register may be loaded."""
    spare = ALIGNMENT // words.itemsize
    room = np.empty(words.size + spare, dtype=np.uint32)
    start = -(room.ctypes.data // words.itemsize) % spare
    room[start : start + words.size] = words
    return room[start : start + words.size]


class CpuScanner:
    """A scanner on ``threads`` threads of its own; None takes every CPU this process may use.

    ValueError for a variant that this CPU cannot run; None takes the best.
    """

    device_uuid = None

    def __init__(
        self,
        variant: str | None = None,
        threads: int | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        variant = variant or variants()[0]
        require(variant)
        self.parallel = threads if threads is not None else len(os.sched_getaffinity(0))
        if self.parallel < 1:
            raise ValueError(f"threads: at least 1, not {threads}")
        self._form = FORMS[variant]
        self.granule = self._form.nonces
        self.midstates = self._form.midstates
        self.config = {
            "variant": variant,
            "midstates": self.midstates,
            "threads": self.parallel,
            "lanes": self._form.nonces,
        }
        self._capacity = capacity
        self._loop, self._block = _build(variant, " ".join(source_digests().values()))
        self._pool = ThreadPoolExecutor(self.parallel, thread_name_prefix="sha256d")

    def submit(self, works: Sequence[Work], first: int, count: int, mask: int) -> Collect:
        """Queue the piece for one thread."""
        return self._pool.submit(self._piece, works, first, count, mask).result

    def _piece(self, works: Sequence[Work], first: int, count: int, mask: int) -> list[list[int]]:
        packed = _aligned(self._form.pack(works))
        scratch = _aligned(np.zeros(self._form.scratch_words, dtype=np.uint32))
        found = np.empty((self.midstates, self._capacity), dtype=np.uint32)
        totals = np.zeros(self.midstates, dtype=np.int64)
        self._loop(packed, first, count, mask, scratch, found, totals)
        return [
            nonces[: complete(total, self._capacity)].tolist()
            for nonces, total in zip(found, totals.tolist(), strict=True)
        ]

    def close(self) -> None:
        """Join the threads."""
        self._pool.shutdown()

    # ---- Verification ---------------------------------------------------------------------------

    def digest(self, message: bytes) -> bytes:
        """SHA-256 of a message, computed in every lane at once; the lanes must agree."""
        lanes = self._form.lanes
        chain = _aligned(np.repeat(np.array(IV, dtype=np.uint32), lanes))
        for block in message_blocks(message):
            self._block(chain, _aligned(np.repeat(np.array(block, dtype=np.uint32), lanes)))
        rows = chain.reshape(8, lanes)
        if not (rows == rows[:, :1]).all():
            raise ArithmeticError("the lanes of one vector disagree on one message")
        return struct.pack(">8I", *rows[:, 0].tolist())


open_scanner: Callable[..., CpuScanner] = CpuScanner

"""SHA-256d on the CPU by Numba: a vector of nonces at a time, one nogil loop per thread.

Source: FIPS 180-4; Bitcoin's header layout. One LLVM value holds one 32-bit word of 4, 8 or 16
nonces (SSE2 or NEON, AVX2, AVX-512), so nothing hangs on the compiler's own vectoriser.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import int64, uint32
from numba.extending import intrinsic

from . import header
from .compression import IV, message_blocks
from .lowering import I32, emit_compress, emit_last_word, splat
from .provenance import source_digests
from .scanner import CAPACITY, Work, complete

njit: Any = numba.njit  # its annotations do not know of kernels made of intrinsics
types: Any = numba.types

# ---- Plain reference ----------------------------------------------------------------------------

reference = header.scan_reference

# ---- Fast version -------------------------------------------------------------------------------


def _widest_vector() -> int:
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") else 4


LANES = _widest_vector()
"""Nonces per vector: one register of the host's widest integer instructions."""

_VECTOR = ir.VectorType(I32, LANES)


def _type_hits(_context: Any, work: Any, nonce: Any, mask: Any) -> Any:
    """One bit per lane: whether ``nonce + lane`` meets the mask."""

    def lower(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        packed, first, wanted = args
        words = [
            splat(builder, _VECTOR, builder.extract_value(packed, i))
            for i in range(header.WORK_WORDS)
        ]
        lane_numbers = ir.Constant(_VECTOR, list(range(LANES)))
        nonces = builder.add(splat(builder, _VECTOR, first), lane_numbers)
        h7 = emit_last_word(builder, words, nonces)
        rest = builder.and_(h7, splat(builder, _VECTOR, wanted))
        met = builder.icmp_unsigned("==", rest, ir.Constant(_VECTOR, [0] * LANES))
        return builder.zext(builder.bitcast(met, ir.IntType(LANES)), I32)

    return types.uint32(work, nonce, mask), lower


def _type_compress(_context: Any, chain: Any, block: Any) -> Any:
    """Compress LANES interleaved blocks (16 × LANES words) into their chains (8 × LANES)."""

    def lower(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = [
            builder.bitcast(
                target.make_array(kind)(target, builder, value).data, _VECTOR.as_pointer()
            )
            for kind, value in zip(signature.args, args, strict=True)
        ]
        emit_compress(builder, pointers[0], pointers[1], _VECTOR)
        return target.get_dummy_value()

    return types.void(chain, block), lower


_hits: Any = intrinsic(_type_hits)
_compress: Any = intrinsic(_type_compress)


def _build(identity: str) -> tuple[Any, Any]:
    """The compiled loop over nonces and the compiled compression.

    Numba keys its disk cache by the function's own file and closure alone, so the closure holds
    ``identity``, a digest of everything that the machine code comes from.
    """

    def loop(work, first, count, mask, found):  # type: ignore[no-untyped-def]
        """Write the nonces that meet the mask to ``found``; count them all, also beyond it."""
        _ = identity
        total = uint32(0)
        done = int64(0)
        while done < count:
            met = uint32(0)
            while met == 0 and done < count:
                met = _hits(work, uint32(first + done), mask)
                done += LANES
            for lane in range(LANES):
                at = done - LANES + lane
                if (met >> lane) & 1 and at < count:
                    if total < found.size:
                        found[total] = first + at
                    total += 1
        return total

    def block(chain, words):  # type: ignore[no-untyped-def]
        _ = identity
        _compress(chain, words)

    words = types.Array(types.uint32, 1, "C")
    work = types.UniTuple(types.uint32, header.WORK_WORDS)
    scan_signature = types.uint32(work, types.uint32, types.int64, types.uint32, words)
    options = {"nogil": True, "cache": True}
    return njit(scan_signature, **options)(loop), njit(types.void(words, words), **options)(block)


# ---- Launcher -----------------------------------------------------------------------------------


class CpuScanner:
    """A scanner on ``threads`` threads of its own; None takes every CPU this process may use."""

    granule = LANES
    device_uuid = None

    def __init__(self, threads: int | None = None, capacity: int = CAPACITY) -> None:
        self.parallel = threads if threads is not None else len(os.sched_getaffinity(0))
        if self.parallel < 1:
            raise ValueError(f"threads: at least 1, not {threads}")
        self.config = {"threads": self.parallel, "lanes": LANES}
        self._capacity = capacity
        self._loop, self._block = _build(" ".join(source_digests().values()))
        self._pool = ThreadPoolExecutor(self.parallel, thread_name_prefix="sha256d")

    def submit(self, work: Work, first: int, count: int, mask: int) -> Callable[[], list[int]]:
        """Queue the piece for one thread."""
        return self._pool.submit(self._piece, work, first, count, mask).result

    def _piece(self, work: Work, first: int, count: int, mask: int) -> list[int]:
        found = np.empty(self._capacity, dtype=np.uint32)
        total = self._loop(work, first, count, mask, found)
        nonces: list[int] = found[: complete(total, self._capacity)].tolist()
        return nonces

    def close(self) -> None:
        """Join the threads."""
        self._pool.shutdown()

    # ---- Verification ---------------------------------------------------------------------------

    def digest(self, message: bytes) -> bytes:
        """SHA-256 of a message, computed in every lane at once; the lanes must agree."""
        chain = np.repeat(np.array(IV, dtype=np.uint32), LANES)
        for block in message_blocks(message):
            self._block(chain, np.repeat(np.array(block, dtype=np.uint32), LANES))
        lanes = chain.reshape(8, LANES)
        if not (lanes == lanes[:, :1]).all():
            raise ArithmeticError("the lanes of one vector disagree on one message")
        return struct.pack(">8I", *lanes[:, 0].tolist())

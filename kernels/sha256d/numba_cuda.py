"""SHA-256d in CUDA by Numba: the CuPy kernel's twin, the double hash as one LLVM intrinsic.

Source: FIPS 180-4; Bitcoin's header layout. Straight-line IR instead of a Python round loop keeps
every word in a register. Under NUMBA_ENABLE_CUDASIM=1, which runs no LLVM, the launches are the
same and plain integers take the intrinsic's place.
"""

from __future__ import annotations

import importlib
import struct
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numba
import numpy as np
from numba import cuda as _cuda
from numba import uint32

from . import header
from .compression import INTEGERS, IV, compress, last_word, message_blocks
from .cuda_source import MAX_REGISTERS
from .scanner import CAPACITY, Slot, SlotScanner, Work, complete
from .toolchain import CompileError, ToolMissingError

cuda: Any = _cuda  # its annotations describe the host side only
types: Any = numba.types
simulated: bool = numba.config.ENABLE_CUDASIM  # type: ignore[attr-defined, unused-ignore]
THREADS_PER_BLOCK = 256
BLOCKS_PER_SM = 4
"""1024 threads: resident on every architecture from sm_75 on at up to 64 registers."""
AMPERE = 80
_ONE = np.uint32(1)
"""A launch's argument, so that the compiler cannot turn the products with it back into adds."""

# ---- Plain reference ----------------------------------------------------------------------------

reference = header.scan_reference


def _simulated_last_word(work: Any, nonce: Any, _one: Any) -> int:
    return last_word(INTEGERS, [int(word) for word in work], int(nonce))


def _simulated_compress(chain: Any, block: Any, _one: Any) -> None:
    chain[:] = compress(INTEGERS, [int(word) for word in chain], [int(word) for word in block])


# ---- Fast version -------------------------------------------------------------------------------


def _type_last_word(_context: Any, work: Any, nonce: Any, one: Any) -> Any:
    """H7 of one nonce; ``one`` is 1, known at run time alone."""
    from .lowering import CudaWords

    return types.uint32(work, nonce, one), _lower_last_word(CudaWords)


def _type_last_word_on_turing(_context: Any, work: Any, nonce: Any, one: Any) -> Any:
    """The same with all adds left to the compiler, which there makes 5 instructions fewer."""
    from .lowering import LlvmWords

    return types.uint32(work, nonce, one), _lower_last_word(lambda builder, _: LlvmWords(builder))


def _lower_last_word(words_of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def lower(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        packed, value, one = args
        words = [builder.extract_value(packed, i) for i in range(header.WORK_WORDS)]
        return last_word(words_of(builder, one), words, value)

    return lower


def _type_compress(_context: Any, chain: Any, block: Any, one: Any) -> Any:
    """Compress one block of sixteen words into the chaining value of eight."""
    from .lowering import CudaWords, emit_compress

    def lower(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = [
            target.make_array(kind)(target, builder, value).data
            for kind, value in zip(signature.args[:2], args[:2], strict=True)
        ]
        emit_compress(builder, CudaWords(builder, args[2]), *pointers)
        return target.get_dummy_value()

    return types.void(chain, block, one), lower


_h7: Any
_h7_on_turing: Any
_compress: Any
if simulated:
    _options: dict[str, int] = {}
    _h7 = _h7_on_turing = _simulated_last_word
    _compress = _simulated_compress
else:
    _options = {"max_registers": MAX_REGISTERS}
    _h7 = cuda.extending.intrinsic(_type_last_word)
    _h7_on_turing = cuda.extending.intrinsic(_type_last_word_on_turing)
    _compress = cuda.extending.intrinsic(_type_compress)


def scan_kernel(capability: int) -> Any:
    """The kernel for a compute capability such as 90.

    Grid-stride over the piece; found[0] counts all hits, the nonces follow it unsorted.
    """
    h7 = _h7 if capability >= AMPERE else _h7_on_turing

    def scan(work, one, first, count, mask, found):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        stride = uint32(cuda.gridsize(1))
        i = uint32(cuda.grid(1))
        while i < count:
            nonce = uint32(first + i)
            if h7(work, nonce, one) & mask == 0:
                slot = cuda.atomic.add(found, 0, 1)
                if slot + 1 < found.size:
                    found[slot + 1] = nonce
            i = uint32(i + stride)

    return scan


def message_kernel(blocks, chain, one):  # type: ignore[no-untyped-def]
    """Compress the rows of ``blocks`` into ``chain``: one thread, for the test vectors."""
    for i in range(blocks.shape[0]):
        _compress(chain, blocks[i], one)


_PTX_TYPES = (
    types.UniTuple(types.uint32, header.WORK_WORDS),
    *[types.uint32] * 4,
    types.Array(types.uint32, 1, "C"),
)


def compiler_version() -> str:
    """What the PTX of ``scan_ptx`` hangs on; ``ToolMissingError`` without numba-cuda."""
    try:
        return f"numba {numba.__version__}, numba-cuda {version('numba-cuda')}"
    except PackageNotFoundError as error:
        raise ToolMissingError("numba-cuda") from error


def scan_ptx(capability: int) -> str:
    """The PTX of ``scan_kernel`` for that compute capability, made without a driver.

    CompileError where Numba makes it for another one, as the ``numba.cuda`` that Numba itself still
    brings does; ``ToolMissingError`` without NVVM.
    """
    from numba.cuda.cudadrv.error import NvvmSupportError

    try:
        ptx: str = cuda.compile_ptx(
            scan_kernel(capability), _PTX_TYPES, cc=divmod(capability, 10), device=False
        )[0]
    except NvvmSupportError as error:
        raise ToolMissingError("nvvm") from error
    if f".target sm_{capability}\n" not in ptx:  # it falls back to the highest that it knows
        raise CompileError(
            f"{compiler_version()} ({cuda.__file__}) makes no code for sm_{capability} here:"
            " install numba-cuda in the environment that runs"
        )
    return ptx


# ---- Launcher -----------------------------------------------------------------------------------


class _NumbaSlot:
    def __init__(self, kernel: Any, blocks: int, capacity: int) -> None:
        self._stream = cuda.stream()
        self._launcher = kernel[blocks, THREADS_PER_BLOCK, self._stream]
        self._capacity = capacity
        self._zero = np.zeros(1, dtype=np.uint32)
        self._found = cuda.device_array(1 + capacity, dtype=np.uint32)

    def launch(self, works: Sequence[Work], first: int, count: int, mask: int) -> None:
        (work,) = works
        self._found[:1].copy_to_device(self._zero, stream=self._stream)
        words = tuple(np.uint32(word) for word in work)
        scalars = (_ONE, np.uint32(first), np.uint32(count), np.uint32(mask))
        self._launcher(words, *scalars, self._found)

    def collect(self) -> list[list[int]]:
        total = complete(int(self._read(0, 1)[0]), self._capacity)
        nonces: list[int] = np.sort(self._read(1, total)).tolist() if total else []
        return [nonces]

    def _read(self, first: int, count: int) -> Any:
        """Copy by the slot's own stream: the default stream waits for the other slot's work too."""
        words = self._found[first : first + count].copy_to_host(stream=self._stream)
        self._stream.synchronize()
        return words


def _refuse_broken_pair() -> None:
    """ImportError when numba-cuda cannot compile with this NumPy: 0.30 and 2.5, which lacks
    ``row_stack``, import and break only at the first launch.
    """
    if simulated:
        return
    try:
        importlib.import_module("numba.cuda.np.arrayobj")
    except AttributeError as error:
        raise ImportError(
            f"numba-cuda does not work with NumPy {np.__version__} ({error}): install 'numpy<2.5'"
        ) from error


def variants() -> tuple[str, ...]:
    """The kernels of this back end, best known first."""
    return ("plain",)


def require(variant: str) -> None:
    """Refuse with ValueError a variant that this back end lacks."""
    if variant not in variants():
        raise ValueError(
            f"kernel: numba-cuda has no variant {variant!r}, only {', '.join(variants())}"
        )


def open_scanner(
    variant: str | None = None, capacity: int = CAPACITY, blocks: int | None = None
) -> SlotScanner:
    """A scanner on the current CUDA device; ``blocks`` defaults to what fills it."""
    variant = variant or variants()[0]
    require(variant)
    _refuse_broken_pair()
    device = cuda.get_current_device()
    grid = blocks or device.MULTIPROCESSOR_COUNT * BLOCKS_PER_SM
    major, minor = device.compute_capability
    kernel = cuda.jit(scan_kernel(10 * major + minor), **_options)
    slots: list[Slot] = [_NumbaSlot(kernel, grid, capacity) for _ in range(2)]
    return SlotScanner(
        slots,
        partial(_digest, cuda.jit(message_kernel)),
        variant=variant,
        midstates=1,
        blocks=grid,
        threads_per_block=THREADS_PER_BLOCK,
        device_uuid=str(device.uuid),
    )


# ---- Verification -------------------------------------------------------------------------------


def _digest(kernel: Any, message: bytes) -> bytes:
    """SHA-256 of a message by one CUDA thread through the compression intrinsic."""
    chain = cuda.to_device(np.array(IV, dtype=np.uint32))
    blocks = cuda.to_device(np.array(message_blocks(message), dtype=np.uint32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Numba warns of a grid this small; one thread is meant
        kernel[1, 1](blocks, chain, _ONE)
    return struct.pack(">8I", *chain.copy_to_host().tolist())

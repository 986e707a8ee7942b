"""``sha256d.cuh`` built by g++: the CUDA source itself against hashlib, for any launch shape."""

from __future__ import annotations

import ctypes
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.cuda_source import SOURCE, VARIANTS
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError
from bench.kernels.sha256d.verification import MESSAGES

WARPS = 32


@pytest.fixture(params=VARIANTS)
def kernel(request: pytest.FixtureRequest, host_kernels: Callable[[str], Any]) -> Any:
    return host_kernels(request.param)


def _check(
    kernel: Any, raw: bytes, span: tuple[int, int], mask: int, shape: tuple[int, int]
) -> None:
    headers = h.siblings(raw, kernel.midstates)
    found = kernel.scan(headers, *span, mask, blocks=shape[0], threads=shape[1])
    assert found == [h.scan_reference(each, *span, mask) for each in headers]


def test_nist_vectors(
    kernel: Any, nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    for message, digest in [*nist_short, *nist_long]:
        assert kernel.digest(message).hex() == digest


def test_random_headers_and_nonces_are_hashlibs(kernel: Any) -> None:
    """2 500 of each variant; a mask of one bit makes every hash half a chance to be wrong."""
    rng = random.Random(5)
    for bits in [1] * 2400 + [8] * 100:
        span = (rng.randrange(h.NONCES - 1), 1)
        _check(kernel, rng.randbytes(76), span, rng.choice([h.share_mask(bits), 1 << 31]), (1, 1))


def test_every_bit_of_h7_is_hashlibs(kernel: Any) -> None:
    """Masks of a single bit each: 64 nonces tell a wrong bit but for one chance in 2^64."""
    rng = random.Random(6)
    for bit in range(32):
        _check(kernel, rng.randbytes(76), (rng.randrange(1 << 31), 64), 1 << bit, (2, 32))


@pytest.mark.parametrize("threads", [1, 31, 32, 256])
@pytest.mark.parametrize("blocks", [1, 3])
def test_edges_of_blocks_and_of_the_nonce(kernel: Any, blocks: int, threads: int) -> None:
    raw, stride = random.Random(blocks * threads).randbytes(76), blocks * threads
    for count in sorted({0, 1, stride - 1, stride, stride + 1, 2 * stride + 1}):
        for first in (0, WARPS - 1, (1 << 31) - count // 2, h.NONCES - count):
            _check(kernel, raw, (first, count), 0x3, (blocks, threads))


@pytest.mark.parametrize("raw", REAL_HEADERS, ids=range(len(REAL_HEADERS)))
def test_real_nonces_are_found_in_every_place(kernel: Any, raw: bytes) -> None:
    nonce = h.Header.parse(raw).nonce
    for place in range(kernel.midstates):
        headers = h.siblings(h.sibling(raw, -place), kernel.midstates)
        found = kernel.scan(headers, nonce - 999, 2000, 0xFFFFFFFF, blocks=2, threads=64)
        assert found == [[nonce] if each == place else [] for each in range(kernel.midstates)]


def test_overflow_is_counted_beyond_the_buffer(kernel: Any) -> None:
    headers = h.siblings(REAL_HEADERS[0], kernel.midstates)
    with pytest.raises(FoundOverflowError, match="16385 nonces"):
        kernel.scan(headers, 0, (1 << 14) + 1, 0, blocks=4, threads=256)


# ---- Mutations ----------------------------------------------------------------------------------


def _right(kernel: Any, nonces: int = 512) -> tuple[bool, bool]:
    """What the self-test of a scanner asks of the code: messages, and an exact list of nonces."""
    messages = all(kernel.digest(text).hex() == digest for text, digest in MESSAGES)
    headers = h.siblings(REAL_HEADERS[2], kernel.midstates)
    found = kernel.scan(headers, 0, nonces, 0x3, blocks=2, threads=32)
    return messages, found == [h.scan_reference(each, 0, nonces, 0x3) for each in headers]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_changed_round_constant_is_seen(
    build_kernel: Callable[[str, str], Any], variant: str
) -> None:
    """The table is made writable and each constant changed in turn by its lowest bit.

    The scan alone does not hang on K[0], which is in what the host prepares.
    """
    table = "__device__ static constexpr u32 SHA256_K[64]"
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(table) == 1
    kernel = build_kernel(
        source.replace(table, 'extern "C" { u32 SHA256_K[64]; } u32 right[64]'), variant
    )
    right, constants = (
        (ctypes.c_uint * 64).in_dll(kernel.library, n) for n in ("right", "SHA256_K")
    )
    constants[:] = right[:]
    assert _right(kernel) == (True, True)
    for t in range(64):
        constants[t] = right[t] ^ 1
        assert _right(kernel) == (False, t == 0), t
        constants[t] = right[t]
    assert _right(kernel) == (True, True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_changed_rotation_and_shift_is_seen(
    build_kernel: Callable[[str, str], Any], variant: str
) -> None:
    """Every distance in the source is read from a table, whose entries are changed in turn.

    Only those of the arithmetic that the variant leaves out may pass unseen. A constant's shift may
    be wrong by one and yet right, so each distance is changed to another and to 1.
    """
    distances: list[int] = []
    places: list[int] = []

    def tabled(match: re.Match[str]) -> str:
        distances.append(int(match[2]))
        places.append(begins + match.start())
        return f"{match[1]}DISTANCE[{len(distances) - 1}]"

    source = SOURCE.read_text(encoding="utf-8")
    begins = source.index("u32 big1(u32 x)")
    body = re.sub(r"(rotr\([\w\[\]]+, |x (?:>>|<<) )(\d+)", tabled, source[begins:])
    table = f'extern "C" {{ int DISTANCE[{len(distances)}]; }}\n'
    text = table + (source[:begins] + body).replace("constexpr u32 fixed", "u32 fixed")
    kernel = build_kernel(text, variant)
    table_now = (ctypes.c_int * len(distances)).in_dll(kernel.library, "DISTANCE")
    table_now[:] = distances
    assert len(distances) >= 3 + 10 + 4 + 3
    assert _right(kernel) == (True, True)
    unseen = []
    for at, distance in enumerate(distances):
        survived = 0
        for wrong in (distance - 1, 1):
            table_now[at] = wrong
            survived += all(_right(kernel))
        if survived == 2:
            unseen.append(at)
        table_now[at] = distance
    assert _right(kernel) == (True, True)
    others = "struct Plain" if VARIANTS[variant].pipes != "Plain" else "struct Balanced"
    spare = range(source.index(others), source.index("};", source.index(others)))
    assert unseen == [at for at, place in enumerate(places) if place in spare]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("t < 60; ++t", "t < 59; ++t"),
        ("i += stride", "i += stride + 1"),
        ("first + i, s)", "first, s)"),
        ("found + m * (1 + capacity)", "found"),
        ("second_hash(on, work.headers[m], s[m])", "second_hash(on, work.headers[0], s[m])"),
    ],
)
def test_a_mutated_launch_is_seen(
    build_kernel: Callable[[str, str], Any], right: str, wrong: str
) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    kernel = build_kernel(source.replace(right, wrong), "two-midstate")
    assert not _right(kernel)[1]

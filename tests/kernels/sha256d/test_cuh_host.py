"""``sha256d.cuh`` built by g++: the CUDA source itself against hashlib, for any launch shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.cupy_cuda import SOURCE
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError


def test_nist_vectors(
    host_kernel: Any, nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    for message, digest in [*nist_short, *nist_long]:
        assert host_kernel.digest(message).hex() == digest


@settings(max_examples=40, deadline=None)
@given(
    raw=st.binary(min_size=76, max_size=76),
    count=st.integers(0, 700),
    bits=st.sampled_from([0, 1, 4, 8, 9]),
    shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 31, 32, 256])),
    place=st.floats(0, 1),
)
def test_lists_are_hashlibs(  # noqa: PLR0917
    host_kernel: Any, raw: bytes, count: int, bits: int, shape: tuple[int, int], place: float
) -> None:
    first = int(place * (h.NONCES - count))
    mask = h.share_mask(bits)
    found = host_kernel.scan(raw, first, count, mask, blocks=shape[0], threads=shape[1])
    assert found == h.scan_reference(raw, first, count, mask)


@pytest.mark.parametrize("raw", REAL_HEADERS)
def test_real_nonces_are_found(host_kernel: Any, raw: bytes) -> None:
    nonce = h.Header.parse(raw).nonce
    found = host_kernel.scan(raw, nonce - 999, 2000, 0xFFFFFFFF, blocks=2, threads=64)
    assert found == [nonce]


def test_overflow_is_counted_beyond_the_buffer(host_kernel: Any) -> None:
    with pytest.raises(FoundOverflowError, match="16385 nonces"):
        host_kernel.scan(REAL_HEADERS[0], 0, (1 << 14) + 1, 0, blocks=4, threads=256)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("rotr(x, 17) ^ rotr(x, 19)", "rotr(x, 17) ^ rotr(x, 18)"),
        ("rounds<0, 61, 16>(s, v)", "rounds<0, 60, 16>(s, v)"),
        ("i += stride", "i += stride + 1"),
        ("first + i) & mask", "first) & mask"),
        ("0x90befffa", "0x90befffb"),
    ],
)
def test_a_mutated_kernel_is_seen(
    build_kernel: Callable[[str], Any], right: str, wrong: str
) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    mutant = build_kernel(source.replace(right, wrong))
    found = mutant.scan(REAL_HEADERS[2], 0, 8192, 0xFF, blocks=2, threads=32)
    assert found != h.scan_reference(REAL_HEADERS[2], 0, 8192, 0xFF)

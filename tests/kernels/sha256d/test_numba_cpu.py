"""The Numba CPU kernel: exact nonce lists, edges, overflow, the published vectors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.numba_cpu import LANES, CpuScanner
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, scan

HEADER = REAL_HEADERS[2]


def test_nist_vectors_through_the_vector_compression(
    cpu_scanner: CpuScanner, nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    for message, digest in [*nist_short, *nist_long]:
        assert cpu_scanner.digest(message).hex() == digest


@settings(max_examples=40, deadline=None)
@given(
    raw=st.binary(min_size=76, max_size=76),
    count=st.integers(0, 700),
    bits=st.sampled_from([0, 1, 4, 8, 9]),
    data=st.data(),
)
def test_lists_are_hashlibs(
    cpu_scanner: CpuScanner, raw: bytes, count: int, bits: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, h.NONCES - count))
    mask = h.share_mask(bits)
    assert scan(cpu_scanner, raw, first, count, mask) == h.scan_reference(raw, first, count, mask)


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 2 * LANES + 3])
@pytest.mark.parametrize("first_of", [lambda _: 0, lambda count: h.NONCES - count])
def test_vector_and_range_edges(cpu_scanner: CpuScanner, count: int, first_of) -> None:  # type: ignore[no-untyped-def]
    first = first_of(count)
    assert scan(cpu_scanner, HEADER, first, count, 0) == list(range(first, first + count))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_a_range_without_seams(threads: int) -> None:
    scanner = CpuScanner(threads=threads)
    try:
        found = scan(scanner, HEADER, 1000, 4099, 0xFF)
    finally:
        scanner.close()
    assert found == h.scan_reference(HEADER, 1000, 4099, 0xFF)


@pytest.mark.parametrize("raw", REAL_HEADERS)
def test_real_nonces_are_found(cpu_scanner: CpuScanner, raw: bytes) -> None:
    nonce = h.Header.parse(raw).nonce
    assert scan(cpu_scanner, raw, nonce - 50_000, 100_000, 0xFFFFFFFF) == [nonce]


def test_overflow_is_an_error_and_a_full_buffer_is_not() -> None:
    scanner = CpuScanner(threads=1, capacity=100)
    try:
        assert scan(scanner, HEADER, 0, 100, 0) == list(range(100))
        with pytest.raises(FoundOverflowError, match="101 nonces met the mask"):
            scan(scanner, HEADER, 0, 101, 0)
    finally:
        scanner.close()


def test_wrap_is_refused(cpu_scanner: CpuScanner) -> None:
    with pytest.raises(ValueError, match="never wraps"):
        scan(cpu_scanner, HEADER, h.NONCES - 1, 2, 0)


def test_no_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="threads"):
        CpuScanner(threads=0)

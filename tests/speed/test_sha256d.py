"""Speed of the CPU kernel beside hashlib in the same run: hashes per second on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.kernels.sha256d.header import Header, scan_reference
from bench.kernels.sha256d.numba_cpu import CpuScanner
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import scan

GROUP = "sha256d: one thread, hashes"
MASK = 0xFFFFFFFF
REAL_NONCE = Header.parse(REAL_HEADERS[1]).nonce


@pytest.fixture(scope="module")
def scanner() -> Iterator[CpuScanner]:
    made = CpuScanner(threads=1)
    yield made
    made.close()


@pytest.mark.benchmark(group=GROUP)
def test_numba_cpu(scanner: CpuScanner, benchmark: Any) -> None:
    count = 1 << 18
    first = REAL_NONCE - count + 1
    assert benchmark(scan, scanner, REAL_HEADERS[1], first, count, MASK) == [REAL_NONCE]
    benchmark.extra_info["hashes_per_s"] = count / benchmark.stats["mean"]


@pytest.mark.benchmark(group=GROUP)
def test_hashlib(benchmark: Any) -> None:
    count = 1 << 12
    first = REAL_NONCE - count + 1
    assert benchmark(scan_reference, REAL_HEADERS[1], first, count, MASK) == [REAL_NONCE]
    benchmark.extra_info["hashes_per_s"] = count / benchmark.stats["mean"]

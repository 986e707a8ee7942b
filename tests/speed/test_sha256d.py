"""Speed of the CPU kernels beside hashlib in the same run: hashes per second on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.kernels.sha256d.header import Header, scan_reference, sibling, siblings
from bench.kernels.sha256d.numba_cpu import CpuScanner, variants
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import scan

GROUP = "sha256d: one thread, hashes"
MASK = 0xFFFFFFFF
REAL_NONCE = Header.parse(REAL_HEADERS[1]).nonce


@pytest.fixture(scope="module", params=variants())
def scanner(request: pytest.FixtureRequest) -> Iterator[CpuScanner]:
    made = CpuScanner(request.param, threads=1)
    yield made
    made.close()


@pytest.mark.benchmark(group=GROUP)
def test_numba_cpu(scanner: CpuScanner, joule_benchmark: Any) -> None:
    count = (1 << 18) // scanner.midstates
    headers = siblings(sibling(REAL_HEADERS[1], 1 - scanner.midstates), scanner.midstates)
    first = REAL_NONCE - count + 1
    found = joule_benchmark(scan, scanner, headers, first, count, MASK)
    assert found[-1] == [REAL_NONCE]
    hashes = count * scanner.midstates
    joule_benchmark.extra_info["hashes_per_s"] = hashes / joule_benchmark.stats["median"]


@pytest.mark.benchmark(group=GROUP)
def test_hashlib(joule_benchmark: Any) -> None:
    count = 1 << 12
    first = REAL_NONCE - count + 1
    assert joule_benchmark(scan_reference, REAL_HEADERS[1], first, count, MASK) == [REAL_NONCE]
    joule_benchmark.extra_info["hashes_per_s"] = count / joule_benchmark.stats["median"]

"""The CPU kernels: exact nonce lists, edges, overflow, published vectors, choice by CPU feature."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.sha256d import cpu_variants
from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.cpu_variants import FORMS, require, variants
from bench.kernels.sha256d.numba_cpu import CpuScanner
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, scan

HEADER = REAL_HEADERS[2]
PAIRS = 100_000


@pytest.fixture(scope="module", params=variants())
def each(request: pytest.FixtureRequest, open_cpu: Callable[[str], CpuScanner]) -> CpuScanner:
    return open_cpu(request.param)


def _family(scanner: CpuScanner, raw: bytes = HEADER) -> list[bytes]:
    return h.siblings(raw, scanner.midstates)


def _expected(
    scanner: CpuScanner, raw: bytes, first: int, count: int, mask: int
) -> list[list[int]]:
    return [h.scan_reference(one, first, count, mask) for one in _family(scanner, raw)]


def test_nist_vectors_through_the_kernels_compression(
    each: CpuScanner, nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    for message, digest in [*nist_short, *nist_long]:
        assert each.digest(message).hex() == digest


def test_a_hundred_thousand_random_pairs_are_hashlibs(each: CpuScanner) -> None:
    """Ranges of random headers, each weighed by a random bit of the double hash."""
    rng, pairs = random.Random(5), 0
    while pairs < PAIRS:
        raw, count = rng.randbytes(76), rng.randrange(1, 400)
        first, mask = rng.randrange(h.NONCES - count), 1 << rng.randrange(32)
        found = scan(each, _family(each, raw), first, count, mask)
        assert found == _expected(each, raw, first, count, mask)
        pairs += count * each.midstates


def test_single_nonces_are_hashlibs(each: CpuScanner) -> None:
    rng = random.Random(6)
    for _ in range(100):
        raw, first = rng.randbytes(76), rng.randrange(h.NONCES)
        mask = 1 << rng.randrange(32)
        assert scan(each, _family(each, raw), first, 1, mask) == _expected(
            each, raw, first, 1, mask
        )


@settings(max_examples=25, deadline=None)
@given(
    raw=st.binary(min_size=76, max_size=76),
    count=st.integers(0, 300),
    bits=st.sampled_from([0, 1, 4, 8, 9]),
    data=st.data(),
)
def test_lists_are_hashlibs(
    each: CpuScanner, raw: bytes, count: int, bits: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, h.NONCES - count))
    mask = h.share_mask(bits)
    assert scan(each, _family(each, raw), first, count, mask) == _expected(
        each, raw, first, count, mask
    )


@pytest.mark.parametrize("beyond", [-1, 0, 1, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_step_and_range_edges(each: CpuScanner, steps: int, beyond: int) -> None:
    count = max(1, steps * each.granule + beyond)
    for first in (0, h.NONCES // 2 - 1, h.NONCES - count):
        every = list(range(first, first + count))
        assert scan(each, _family(each), first, count, 0) == [every] * each.midstates


def test_real_nonces_are_found_in_every_place(each: CpuScanner) -> None:
    for raw in REAL_HEADERS:
        nonce = h.Header.parse(raw).nonce
        for place in range(each.midstates):
            family = _family(each, h.sibling(raw, -place))
            found = scan(each, family, nonce - 5_000, 10_000, 0xFFFFFFFF)
            assert found == [[nonce] if one == raw else [] for one in family]


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_a_range_without_seams(threads: int) -> None:
    scanner = CpuScanner(threads=threads)
    try:
        found = scan(scanner, _family(scanner), 1000, 4099, 0xFF)
    finally:
        scanner.close()
    assert found == _expected(scanner, HEADER, 1000, 4099, 0xFF)


@pytest.fixture
def small(each: CpuScanner) -> Iterator[CpuScanner]:
    scanner = CpuScanner(each.config["variant"], threads=1, capacity=100)
    yield scanner
    scanner.close()


def test_overflow_is_an_error_and_a_full_buffer_is_not(small: CpuScanner) -> None:
    every = [list(range(100))] * small.midstates
    assert scan(small, _family(small), 0, 100, 0) == every
    with pytest.raises(FoundOverflowError, match="101 nonces met the mask"):
        scan(small, _family(small), 0, 101, 0)
    assert scan(small, _family(small), 0, 100, 0) == every


def test_wrap_is_refused(cpu_scanner: CpuScanner) -> None:
    with pytest.raises(ValueError, match="never wraps"):
        scan(cpu_scanner, _family(cpu_scanner), h.NONCES - 1, 2, 0)


def test_no_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="threads"):
        CpuScanner(threads=0)


def test_what_was_opened_is_said(each: CpuScanner) -> None:
    form = FORMS[each.config["variant"]]
    assert each.config["midstates"] == each.midstates == form.midstates
    assert each.config["lanes"] == each.granule == form.nonces


# ---- Choice -------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, set[str]], None]:
    def pretend(name: str, features: set[str]) -> None:
        monkeypatch.setattr(cpu_variants.platform, "machine", lambda: name)
        monkeypatch.setattr(cpu_variants, "_features", lambda: frozenset(features))

    return pretend


@pytest.mark.parametrize(
    ("name", "features", "runs"),
    [
        (
            "x86_64",
            {"avx512f", "sha", "avx2", "sse4.1"},
            ("avx512", "sha-ni", "avx2", "sse4", "portable"),
        ),
        ("x86_64", {"avx512f", "avx2", "sse4.1"}, ("avx512", "avx2", "sse4", "portable")),
        ("x86_64", {"sha", "avx2", "sse4.1"}, ("sha-ni", "avx2", "sse4", "portable")),
        ("x86_64", {"avx2", "sse4.1"}, ("avx2", "sse4", "portable")),
        ("x86_64", set(), ("portable",)),
        ("aarch64", {"neon", "sha2"}, ("sha2-arm", "portable")),
        ("aarch64", {"neon"}, ("portable",)),
        ("riscv64", {"sha"}, ("portable",)),
    ],
)
def test_the_best_that_the_cpu_has_comes_first(
    machine: Callable[[str, set[str]], None], name: str, features: set[str], runs: tuple[str, ...]
) -> None:
    machine(name, features)
    assert variants() == runs


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("avx512", "avx512 needs the CPU feature 'avx512f', which this one does not offer"),
        ("sha-ni", "sha-ni needs the CPU feature 'sha', which this one does not offer"),
        ("sha2-arm", "sha2-arm needs a CPU of the kind aarch64, not x86_64"),
    ],
)
def test_what_the_cpu_lacks_is_refused_before_anything_is_built(
    machine: Callable[[str, set[str]], None], variant: str, reason: str
) -> None:
    machine("x86_64", {"avx2", "sse4.1"})
    message = f"^kernel: numba-cpu:{reason}; here run avx2, sse4, portable$"
    with pytest.raises(ValueError, match=message):
        CpuScanner(variant)
    with pytest.raises(ValueError, match=message):
        require(variant)


def test_numba_without_its_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_variants.config, "DISABLE_JIT", 1)
    with pytest.raises(ValueError, match="unset NUMBA_DISABLE_JIT"):
        CpuScanner("portable")


def test_numba_can_be_told_to_use_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """As NUMBA_CPU_NAME=generic does: an instruction beyond it could not be compiled."""
    codegen = cpu_variants.cpu_target.target_context.codegen()
    monkeypatch.setattr(type(codegen), "magic_tuple", lambda _: ("triple", "generic", "+sse4.1"))
    assert cpu_variants._features.__wrapped__() <= {"sse4.1"}

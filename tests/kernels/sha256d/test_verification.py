"""The verification that precedes any timing fails for every way a scanner can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.kernels.sha256d.scanner import Collect, complete
from bench.kernels.sha256d.verification import verify

Lie = Callable[[list[int], int, int], list[int]]


class Lying:
    """A right scanner whose answers a lie passes through."""

    def __init__(self, honest: Any, lie: Lie = lambda nonces, *_: nonces) -> None:
        self._honest = honest
        self._lie = lie
        self.parallel = 1
        self.midstates = honest.midstates

    def submit(self, works: Any, first: int, count: int, mask: int) -> Collect:
        piece = self._honest.submit(works, first, count, mask)
        return lambda: self._change(piece(), first, count)

    def _change(self, lists: list[list[int]], first: int, count: int) -> list[list[int]]:
        """The lie is told of the last midstate alone."""
        return [*lists[:-1], self._lie(lists[-1], first, count)]

    def digest(self, message: bytes) -> bytes:
        return self._honest.digest(message)


def _failed(scanner: Any) -> set[str]:
    checks = verify(scanner, seed=1, range_nonces=256)
    return {name for name, passed, _ in checks if not passed}


def test_an_honest_scanner_passes(cpu_scanner: Any) -> None:
    checks = verify(cpu_scanner, seed=1, range_nonces=1024, long_nonces=8192)
    assert [name for name, _, _ in checks] == [
        "nist-messages",
        "real-headers",
        "range-edges",
        "exact-ranges",
    ]
    assert all(passed for _, passed, _ in checks), checks
    assert f"33 random ranges, {40960 * cpu_scanner.midstates} hashes" in checks[-1][2]


def test_more_hits_than_the_buffer_holds_fail_the_check(cpu_scanner: Any) -> None:
    def every(_nonces: list[int], first: int, count: int) -> list[int]:
        return list(range(first, first + complete(count, 128)))

    checks = {name: detail for name, passed, detail in verify(
        Lying(cpu_scanner, every), seed=1, range_nonces=256) if not passed}  # fmt: skip
    assert set(checks) == {"real-headers", "range-edges", "exact-ranges"}
    assert checks["exact-ranges"].startswith("256 nonces met the mask, the buffer holds 128")


@pytest.mark.parametrize(
    ("lie", "seen_by"),
    [
        (lambda *_: [], {"real-headers", "range-edges", "exact-ranges"}),
        (lambda nonces, *_: nonces[1:], {"real-headers", "range-edges", "exact-ranges"}),
        (lambda nonces, *_: nonces * 2, {"real-headers", "range-edges", "exact-ranges"}),
        (lambda nonces, *_: nonces[::-1], {"range-edges", "exact-ranges"}),
        (lambda nonces, *_: [n ^ 1 for n in nonces], {"real-headers", "range-edges"}),
        (
            lambda nonces, first, count: [n for n in nonces if n != first + count - 1],
            {"range-edges"},
        ),
        (lambda nonces, first, _: [n for n in nonces if n != first], {"range-edges"}),
    ],
    ids=["nothing", "one lost", "repeated", "unsorted", "wrong", "last lost", "first lost"],
)
def test_a_lie_is_seen(cpu_scanner: Any, lie: Lie, seen_by: set[str]) -> None:
    assert seen_by <= _failed(Lying(cpu_scanner, lie))


def test_a_wrapping_scan_would_be_seen(cpu_scanner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.kernels.sha256d import scanner

    monkeypatch.setattr(scanner, "check_range", lambda *_: None)
    assert "range-edges" in _failed(cpu_scanner)


def test_lists_in_another_order_are_seen(cpu_scanner: Any) -> None:
    liar = Lying(cpu_scanner)
    liar._change = lambda lists, *_: lists[::-1]  # type: ignore[method-assign]
    assert {"real-headers", "exact-ranges"} <= _failed(liar)


def test_a_wrong_compression_is_seen(cpu_scanner: Any) -> None:
    liar = Lying(cpu_scanner)
    liar.digest = lambda _: bytes(32)  # type: ignore[method-assign]
    assert _failed(liar) == {"nist-messages"}

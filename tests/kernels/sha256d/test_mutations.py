"""Every round constant and every rotation counts: with one of them wrong, the self-test fails."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.kernels.sha256d import compression, verification
from bench.kernels.sha256d.compression import IV, compress, last_word_expanded, message_blocks
from bench.kernels.sha256d.scanner import Collect, Work

Vector = npt.NDArray[np.uint32]
Change = Callable[[int], int]


class Vectors(compression.Integers):
    """Words of many nonces as NumPy arrays, through the integers' own expressions; ``rotate`` and
    ``shift`` may falsify an amount.
    """

    def __init__(self, rotate: Change = int, shift: Change = int) -> None:
        self._rotate, self._shift = rotate, shift

    def add(self, *terms: Any) -> Any:
        total = np.uint32(0)
        for term in terms:
            total = total + np.asarray(term).astype(np.uint32)
        return total

    def rotr(self, x: Any, n: int) -> Any:
        word, by = np.asarray(x).astype(np.uint32), self._rotate(n)
        return word >> np.uint32(by) | word << np.uint32(32 - by)

    def shr(self, x: Any, n: int) -> Any:
        return np.asarray(x).astype(np.uint32) >> np.uint32(self._shift(n))

    def swap(self, x: Any) -> Any:
        return x.byteswap()


class VectorScanner:
    """The kernels' double hash, as they compute it, on NumPy."""

    parallel, midstates, granule, device_uuid = 1, 1, 1, None
    config: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, ops: Vectors) -> None:
        self._ops = ops

    def submit(self, works: Sequence[Work], first: int, count: int, mask: int) -> Collect:
        nonces = np.arange(first, first + count, dtype=np.int64).astype(np.uint32)
        (work,) = works
        sums = compression.expanded(self._ops, work[16:], nonces)
        h7 = last_word_expanded(self._ops, work, self._ops.swap(nonces), sums)
        found = nonces[np.asarray(h7) & np.uint32(mask) == 0].tolist()
        return lambda: [found]

    def digest(self, message: bytes) -> bytes:
        chain: Any = list(IV)
        for block in message_blocks(message):
            chain = compress(self._ops, chain, block)
        return struct.pack(">8I", *map(int, chain))

    def close(self) -> None:
        pass


def _failed(ops: Vectors) -> set[str]:
    with np.errstate(over="ignore"):
        checks = [
            verification._messages(VectorScanner(ops)),
            verification._real_headers(VectorScanner(ops)),
        ]
    return {name for name, passed, _ in checks if not passed}


def test_the_true_one_passes_everything() -> None:
    with np.errstate(over="ignore"):
        checks = verification.verify(VectorScanner(Vectors()), seed=2, range_nonces=512)
    assert all(passed for _, passed, _ in checks), checks


@pytest.mark.parametrize("t", range(64))
def test_a_wrong_round_constant_is_seen(monkeypatch: pytest.MonkeyPatch, t: int) -> None:
    """K[61] to K[63] have no part in the second hash's H7, but in the first and in messages."""
    wrong = [*compression.K]
    wrong[t] ^= 1 << t % 32
    monkeypatch.setattr(compression, "K", tuple(wrong))
    assert _failed(Vectors()) == {"nist-messages", "real-headers"}


@pytest.mark.parametrize("n", [2, 6, 7, 11, 13, 17, 18, 19, 22, 25])
def test_a_wrong_rotation_is_seen(n: int) -> None:
    ops = Vectors(rotate=lambda by: by + 1 if by == n else by)
    assert _failed(ops) == {"nist-messages", "real-headers"}


@pytest.mark.parametrize("n", [3, 10])
def test_a_wrong_shift_is_seen(n: int) -> None:
    ops = Vectors(shift=lambda by: by + 1 if by == n else by)
    assert _failed(ops) == {"nist-messages", "real-headers"}

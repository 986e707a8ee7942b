"""The ledger of shares: what was found is re-hashed, kept once, and weighed against the work done.

Kernels and devices stop here; a share is an 80-byte header and a mask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .header import meets_mask, with_nonce

Check = tuple[str, bool, str]

_ALPHA = 1e-6
_NAMED = 3


def poisson_bounds(mean: float, alpha: float = _ALPHA) -> tuple[int, int]:
    """The counts between which a Poisson variable falls but for ``alpha / 2`` on either side.

    The quantiles at alpha / 2 and 1 − alpha / 2, summed from eight standard deviations out.
    """
    if mean == 0:
        return 0, 0

    def probability(k: int) -> float:
        return math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))

    reach = 8 * math.sqrt(mean)
    lo = max(0, int(mean - reach))
    below = probability(lo)
    while below < alpha / 2:
        lo += 1
        below += probability(lo)
    hi = int(mean + reach) + 40
    above = probability(hi)
    while above <= alpha / 2:
        hi -= 1
        above += probability(hi)
    return lo, hi


class ShareLedger:
    """Shares of one mask over all runs of a workload, with the hashes they came from."""

    def __init__(self, bits: int, mask: int) -> None:
        self._bits = bits
        self._mask = mask
        self._seen: set[bytes] = set()
        self._wrong: list[str] = []
        self._duplicate: list[str] = []
        self._fresh: list[Mapping[str, Any]] = []
        self._hashes = 0
        self._overflows: list[str] = []

    def add(self, header: bytes, nonces: list[int], hashes: int) -> None:
        """Enter what ``hashes`` nonces of ``header`` gave; each is re-hashed by hashlib."""
        self._hashes += hashes
        for nonce in nonces:
            raw = with_nonce(header, nonce)
            if not meets_mask(raw, self._mask):
                self._wrong.append(raw.hex())
            elif raw in self._seen:
                self._duplicate.append(raw.hex())
            self._seen.add(raw)
            self._fresh.append(
                {"kind": "share", "header_hex": raw.hex(), "nonce": nonce, "mask": self._mask}
            )

    def overflow(self, text: str) -> None:
        """Enter a piece whose list is not whole: so many shares no right kernel finds."""
        self._overflows.append(text)

    def take(self) -> list[Mapping[str, Any]]:
        """The shares since the last call, in order of finding."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def check(self) -> list[Check]:
        """Every list whole, every share right, none twice, as many as the hashes should give."""
        expected = self._hashes / 2**self._bits
        lo, hi = poisson_bounds(expected)
        count, wrong, twice = len(self._seen), self._wrong, self._duplicate
        lost = self._overflows
        return [
            (
                "shares-rehash",
                not wrong,
                f"{count} shares re-hashed by hashlib, {len(wrong)} wrong {wrong[:_NAMED]}",
            ),
            ("lists-whole", not lost, f"{len(lost)} pieces overflowed {lost[:1]}"),
            (
                "shares-once",
                not twice,
                f"{len(twice)} found twice {twice[:_NAMED]}",
            ),
            (
                "shares-count",
                lo <= count <= hi,
                f"{count} shares of {self._bits} bits from {self._hashes} hashes: "
                f"{expected:.1f} expected, {lo} to {hi} allowed (Poisson, two-sided {_ALPHA:g})",
            ),
        ]

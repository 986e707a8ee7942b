"""The work itself: wrong, missing, repeated or unlike real work."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from bench.records.run import Check, Code, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, label

POISSON_TAIL = 5e-7
SHARES_PER_MINUTE = 16384
STANDARD_WINDOW_S = 60.0
HASH_CHECKS = {
    "exact-ranges": "HASH_MISSING_WORK",
    "range-edges": "HASH_MISSING_WORK",
}
INFER_CHECKS = {
    "logits finite": "INFER_NONFINITE",
    "tokens reported = produced": "INFER_COUNT",
}


def _verified(e: Evidence) -> Iterator[Code]:
    """Failed checks; those of the shares are judged from the journal, below."""
    for w in e.workloads:
        for check in w.verified.checks:
            if not check.passed and not check.name.startswith("shares-"):
                yield fatal(_check_code(w, check), f"{w.name}: {check.name}: {check.detail}")


def _check_code(w: WorkloadRecord, check: Check) -> str:
    if w.unit == "hash":
        return HASH_CHECKS.get(check.name, "HASH_WRONG")
    return INFER_CHECKS.get(check.name, "INFER_MISMATCH")


def _shares(e: Evidence) -> Iterator[Code]:
    """Every share re-hashed, none twice."""
    seen = set()
    for share in e.book.shares:
        header = bytes.fromhex(share.header_hex)
        digest = hashlib.sha256(hashlib.sha256(header).digest()).digest()
        right = header[76:] == share.nonce.to_bytes(4, "little")
        if not right or int.from_bytes(digest[28:], "big") & share.mask:
            yield fatal(
                "HASH_WRONG", f"nonce {share.nonce:#010x} misses its mask: the kernel is wrong"
            )
            return
        if header in seen:
            yield fatal(
                "HASH_DUPLICATE", f"nonce {share.nonce:#010x} was found twice: work repeats"
            )
            return
        seen.add(header)


def _share_count(e: Evidence) -> Iterator[Code]:
    """As many shares as hashes claimed, within the two-sided 1e-6 Poisson bounds."""
    for w in e.workloads:
        bits = w.config.get("share_bits")
        marks = e.book.progress.get(w.name)
        if bits is None or marks is None or w.name in e.failures or e.interrupted:
            continue
        hashes, found = float(marks.value[-1]), sum(s.workload == w.name for s in e.book.shares)
        expected = hashes / 2**bits
        if poisson_tail(found, expected) < POISSON_TAIL:
            text = f"{found} shares where {hashes:.3g} hashes should give {expected:.0f}"
            yield fatal("HASH_RATE", text + ": work is missing or repeated")
        seconds = math.fsum(x.end_s - x.start_s for x in w.windows)
        wanted = SHARES_PER_MINUTE * min(1.0, seconds / STANDARD_WINDOW_S) / 2
        if expected < wanted:
            yield label(
                "FEW_SHARES", f"{expected:.0f} shares expected, a sharp count wants {wanted:.0f}"
            )


def poisson_tail(found: int, expected: float) -> float:
    """Probability of a count at least as far out on its own side, for a Poisson mean > 0."""
    from scipy.special import gammainc, gammaincc

    if expected <= 0:
        return 1.0 if found == 0 else 0.0
    at_most = float(gammaincc(found + 1, expected))
    at_least = float(gammainc(found, expected)) if found > 0 else 1.0
    return min(at_most, at_least)


def _data_profile(e: Evidence) -> Iterator[Code]:
    """Weights and tokens whose values would move the power away from a real model's."""
    for w in e.workloads:
        reasons = (w.data_profile or {}).get("degenerate") or []
        if reasons:
            yield label("DEGENERATE_DATA", f"{w.name}: unlike real weights: {'; '.join(reasons)}")


RULES: tuple[Rule, ...] = (
    _verified,
    _shares,
    _share_count,
    _data_profile,
)

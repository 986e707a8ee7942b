"""The work itself: wrong, missing, repeated, unlike real work, or of unknown origin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bench.records.run import Check, Code, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, label, published, seconds

POISSON_TAIL = 5e-7
SHARES_S = 60.0
"""Seconds in which the expected shares of a grade are due, unless its window is longer."""
UNSURE = 0.5
"""A first look expects half as many shares at least: it probed its rate for a moment only."""
HASH_CHECKS = {
    "exact-ranges": "HASH_MISSING_WORK",
    "range-edges": "HASH_MISSING_WORK",
}
INFER_CHECKS = {
    "logits finite": "INFER_NONFINITE",
    "tokens reported = produced": "INFER_COUNT",
    "usage agrees with the stream": "INFER_COUNT",
    "usage counts tokens": "INFER_COUNT",
    "a repeated prompt is no faster": "INFER_CACHED",
    "a repeated prompt is computed anew": "INFER_CACHED",
    "no output is cut short": "INFER_TRUNCATED",
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
    if check.name.endswith(": finite"):
        return "INFER_NONFINITE"
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
        wanted = _shares_wanted(e, seconds(w))
        if expected < wanted:
            text = f"{expected:.0f} shares expected, a sharp count wants {wanted:.0f}"
            yield published(e, "FEW_SHARES", f"{w.name}: {text}; raise --window")


def _shares_wanted(e: Evidence, measured_s: float) -> float:
    """The grade's minimum, pro rata for a window shorter than the grade's."""
    share = min(1.0, measured_s / max(e.limits.window_s, SHARES_S))
    return e.limits.shares * share * (1.0 if e.grade.ranked else UNSURE)


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


def _simulator(e: Evidence) -> Iterator[Code]:
    """Numba's CUDA simulator runs kernels in Python on the host."""
    for w in e.workloads:
        if w.config.get("simulator"):
            text = f"{w.name} ran in Numba's CUDA simulator, on the host"
            yield label("SIMULATOR", f"{text}: unset NUMBA_ENABLE_CUDASIM")


def _provenance(e: Evidence) -> Iterator[Code]:
    """Hashes of what ran, the library it was measured through, and a tree without changes."""
    if not e.grade.ranked or e.device.kind == "sim":
        return
    missing = [f"hashes of {w.name}" for w in e.workloads if not e.prepared(w.name).get("sources")]
    if e.meter.source.startswith("nvml") and not (e.meter.library or {}).get("sha256"):
        missing.append("the hash of NVML's library")
    if e.publish:
        missing += _tree(e)
    if missing:
        text = f"not on record: {', '.join(missing)}"
        yield published(e, "PROVENANCE", f"{text}; run from a clean checkout")


def _tree(e: Evidence) -> list[str]:
    opened = e.events("opened")
    commit = (opened[0].get("software") or {}).get("git") if opened else None
    if commit is None:
        return ["the commit of the code"]
    return ["a tree without changes"] if str(commit).endswith("+dirty") else []


RULES: tuple[Rule, ...] = (
    _verified,
    _shares,
    _share_count,
    _data_profile,
    _simulator,
    _provenance,
)

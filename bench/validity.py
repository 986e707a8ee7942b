"""May one trust the run: small functions from evidence to codes, each saying what to do. Pure.

A fatal code makes the run invalid; the others label it. Where a threshold belongs to a grade it
is taken from ``LIMITS``; the quick grade promises little and is checked for wrong work and wrong
joules only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.energy import Series, largest_gap_s
from bench.ledger import Book, joules_of, power_series
from bench.plan import Grade
from bench.records.run import (
    Check,
    Code,
    DeviceFacts,
    Idle,
    MeterFacts,
    Validity,
    WorkloadRecord,
)
from bench.stats import coefficient_of_variation

POISSON_TAIL = 5e-7
SHARES_PER_MINUTE = 16384
STANDARD_WINDOW_S = 60.0
MIN_BLOCKS = 8
COVERAGE = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """What a grade wants and allows: measured seconds per workload, largest reading gap (s),
    spread between blocks, throttled share, counter against integral."""

    window_s: float
    gap_s: float
    spread: float
    throttled: float
    disagreement: float


LIMITS = {
    "quick": Limits(0.0, 1.0, math.inf, 0.01, 0.03),
    "standard": Limits(60.0, 1.0, 0.03, 0.005, 0.03),
    "publish": Limits(600.0, 0.5, 0.01, 0.0, 0.015),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the codes look at. ``failures`` maps a workload that could not finish to why."""

    device: DeviceFacts
    meter: MeterFacts
    grade: Grade
    book: Book
    idle: Idle
    workloads: tuple[WorkloadRecord, ...]
    failures: dict[str, tuple[str, str]]
    interrupted: bool = False

    @property
    def limits(self) -> Limits:
        """The grade's thresholds."""
        return LIMITS[self.grade.name]

    @property
    def measured(self) -> bool:
        """Whether an instrument, real or simulated, read the power."""
        return self.meter.source not in ("none", "assumed")


def judge(evidence: Evidence) -> Validity:
    """Every code that speaks of the run, and the status they add up to."""
    codes = tuple(code for rule in RULES for code in rule(evidence))
    missing = any(kind != "unverified" for kind, _ in evidence.failures.values())
    if evidence.interrupted or missing:
        return Validity("incomplete", codes)
    if any(code.fatal for code in codes):
        return Validity("invalid", codes)
    return Validity("labelled" if codes else "valid", codes)


def _fatal(name: str, text: str) -> Code:
    return Code(name, text, True)


def _label(name: str, text: str) -> Code:
    return Code(name, text, False)


def _interrupted(e: Evidence) -> Iterator[Code]:
    if e.interrupted:
        yield _label("INTERRUPTED", "stopped early; what was measured is kept: run again")


def _failed(e: Evidence) -> Iterator[Code]:
    begun = {w.name for w in e.workloads}
    for name, (kind, text) in e.failures.items():
        if kind == "unverified":
            continue
        lost = kind == "device" and e.device.kind == "gpu" and name in begun
        code = "GPU_LOST" if lost else "NO_DATA"
        yield _fatal(code, f"{name} could not go on: {text}")


def _meter_lost(e: Evidence) -> Iterator[Code]:
    """What the sampler said of itself, else that it was lost without a word."""
    troubles = [event.data for event in e.book.events if event.name == "meter_trouble"]
    lost = [event.data for event in e.book.events if event.name == "meter_lost"]
    for trouble in troubles or [{"code": "SAMPLER_HUNG", **data} for data in lost]:
        yield _fatal(trouble["code"], f"the power meter: {trouble['text']}")


def _no_data(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if not w.windows and w.name not in e.failures and not e.interrupted:
            yield _fatal("NO_DATA", f"{w.name}: no block could be booked; lengthen --window")


def _no_energy(e: Evidence) -> Iterator[Code]:
    if e.meter.source == "none":
        yield _label("NO_ENERGY", f"no joules: {e.meter.reason}")
    elif e.meter.source == "assumed":
        text = f"the joules assume {e.meter.constant_w:g} W and were not measured; never rank them"
        yield _label("ASSUMED_WATTS", text)


def _instrument(e: Evidence) -> Iterator[Code]:
    if e.device.kind == "sim" or e.meter.source == "sim":
        yield _label("SIMULATED", "a simulated sensor: it proves the method, not a card")
    if e.meter.mismatch:
        text = (
            f"the joules are not this device's: {e.meter.name} reads another than {e.device.name}"
        )
        yield _label("METER_MISMATCH", text)
    if e.meter.scope == "module":
        yield _label("MODULE_SCOPE", "the sensor sees the whole module; compare with module scope")
    if e.meter.source.startswith("nvml") and not e.meter.mismatch:
        text = "the sensor's window, lag and gain were not characterised on this card"
        yield _label("UNCALIBRATED", text)


def _unranked(e: Evidence) -> Iterator[Code]:
    if not e.grade.ranked:
        yield _label("UNRANKED", f"the {e.grade.name} grade is a first look: use --grade standard")
        return
    if e.grade.name == "publish":
        yield _label("UNRANKED", "not every check of the publish grade exists yet")
    for w in e.workloads:
        seconds = math.fsum(window.end_s - window.start_s for window in w.windows)
        if w.windows and seconds < COVERAGE * e.limits.window_s and not e.interrupted:
            text = f"{w.name}: {seconds:.0f} s measured, a rank needs {e.limits.window_s:.0f} s"
            yield _label("SHORT_WINDOW", text)
            yield _label("UNRANKED", "measure longer: leave --window out or raise it")


def _too_few_blocks(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if e.grade.ranked and not e.interrupted and 0 < len(w.windows) < MIN_BLOCKS:
            yield _fatal(
                "TOO_FEW_BLOCKS", f"{w.name}: {len(w.windows)} blocks, {MIN_BLOCKS} needed"
            )


def _spread(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if w.metrics.joules_per_unit is None:
            continue
        joules = [(joules_of(x, e.meter) or 0.0) / x.units for x in w.windows]
        spread = coefficient_of_variation(joules)
        if spread is not None and spread > e.limits.spread:
            text = f"{w.name}: blocks differ by {spread:.1%} in J/{w.unit}; quieten the machine"
            yield _fatal("SPREAD", text)


def _counter(e: Evidence) -> Iterator[Code]:
    ticks = e.book.series.get("energy_j")
    if ticks is not None and bool(np.any(np.diff(ticks.value) < 0)):
        yield _label("COUNTER_RESET", "the energy counter fell; its block uses polled power")


def _disagreement(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        both = [x for x in w.windows if x.counter_j is not None and x.integral_j is not None]
        counted = math.fsum(x.counter_j or 0.0 for x in both)
        polled = math.fsum(x.integral_j or 0.0 for x in both)
        if counted > 0 and abs(polled / counted - 1) > e.limits.disagreement:
            text = f"{w.name}: counter {counted:.0f} J, polled {polled:.0f} J in the same windows"
            yield _fatal("ENERGY_DISAGREE", text + "; neither is trusted")


def _power_range(e: Evidence) -> Iterator[Code]:
    power = power_series(e.book)
    if power is None or len(power) == 0:
        return
    limit = e.device.power_limit_max_w or e.device.power_limit_w
    worst = float(np.max(power.value))
    if float(np.min(power.value)) <= 0 or (limit is not None and worst > 1.3 * limit):
        bound = f", limit {limit:.0f} W" if limit is not None else ""
        text = f"readings from {float(np.min(power.value)):.1f} to {worst:.1f} W{bound}"
        yield _fatal("POWER_OUT_OF_RANGE", text)


def _frozen(e: Evidence) -> Iterator[Code]:
    """A sensor that says the same in every reading of every block sees nothing."""
    power = power_series(e.book)
    blocks = [s for s in e.book.spans if s.phase == "block"]
    if power is None or not blocks:
        return
    seen = [power.between(span.start_s, span.end_s).value for span in blocks]
    if all(len(readings) >= 20 and np.ptp(readings) == 0 for readings in seen):
        text = f"{float(seen[0][0]):.1f} W in every reading of every block: the sensor is stuck"
        yield _fatal("POWER_FROZEN", text)


def _not_loaded(e: Evidence) -> Iterator[Code]:
    idle = e.idle.watts
    for w in e.workloads:
        watts = w.metrics.watts
        if e.measured and idle is not None and watts is not None and watts.mid <= idle.hi:
            text = (
                f"{w.name}: {watts.mid:.0f} W under load, {idle.mid:.0f} W idle: is it this device?"
            )
            yield _label("NOT_LOADED", text)


def _coverage(e: Evidence) -> Iterator[Code]:
    """Edges are moved inwards to marks and ticks; a block that shrinks by much did not run on."""
    for w in e.workloads:
        spans = math.fsum(s.end_s - s.start_s for s in e.book.blocks(w.name))
        booked = math.fsum(x.end_s - x.start_s for x in w.windows)
        if w.windows and booked < COVERAGE * spans:
            text = (
                f"{w.name}: marks and readings cover {booked:.0f} of {spans:.0f} s; raise --window"
            )
            yield Code("COVERAGE", text, e.grade.ranked)


def _gaps(e: Evidence) -> Iterator[Code]:
    if not e.measured:
        return
    readings = power_series(e.book) or e.book.series.get("energy_j") or Series.of([])
    for span in (s for s in e.book.spans if s.phase == "block"):
        gap_s = largest_gap_s(readings, span.start_s, span.end_s)
        if gap_s > e.limits.gap_s:
            text = f"no reading for {gap_s:.1f} s of a {span.workload} block; run on an idle host"
            yield _fatal("SAMPLING_GAPS", text)
            return


def _throttled(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        known = [x for x in w.windows if x.throttled_s is not None]
        seconds = math.fsum(x.end_s - x.start_s for x in known)
        share = math.fsum(x.throttled_s or 0.0 for x in known) / seconds if seconds else 0.0
        if share > e.limits.throttled:
            text = f"{w.name}: slowed by heat or power brake {share:.1%} of the time; cool it"
            yield _fatal("THROTTLED", text)


def _power_limit(e: Evidence) -> Iterator[Code]:
    limits = e.book.series.get("power_limit_w")
    if limits is not None and float(np.ptp(limits.value)) > 1.0:
        yield _fatal("LIMIT_CHANGED", "the power limit changed during the run; leave it alone")
    now, default = e.device.power_limit_w, e.device.power_limit_default_w
    if now is not None and default is not None and abs(now - default) > 1.0:
        text = f"the power limit is {now:.0f} W, the card's default {default:.0f} W"
        yield _label("LIMIT_NOT_DEFAULT", text)


def _paused(e: Evidence) -> Iterator[Code]:
    offsets = [pair.boottime_s - pair.monotonic_s for pair in e.book.clocks]
    if offsets and max(offsets) - min(offsets) > 0.1:
        yield _fatal("PAUSED", "the machine slept during the run; run again")


def _verified(e: Evidence) -> Iterator[Code]:
    """Failed checks; those of the shares are judged from the journal, below."""
    for w in e.workloads:
        for check in w.verified.checks:
            if not check.passed and not check.name.startswith("shares-"):
                yield _fatal(_check_code(w, check), f"{w.name}: {check.name}: {check.detail}")


HASH_CHECKS = {
    "exact-ranges": "HASH_MISSING_WORK",
    "range-edges": "HASH_MISSING_WORK",
}

INFER_CHECKS = {
    "logits finite": "INFER_NONFINITE",
    "tokens reported = produced": "INFER_COUNT",
}


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
            yield _fatal(
                "HASH_WRONG", f"nonce {share.nonce:#010x} misses its mask: the kernel is wrong"
            )
            return
        if header in seen:
            yield _fatal(
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
            yield _fatal("HASH_RATE", text + ": work is missing or repeated")
        seconds = math.fsum(x.end_s - x.start_s for x in w.windows)
        wanted = SHARES_PER_MINUTE * min(1.0, seconds / STANDARD_WINDOW_S) / 2
        if expected < wanted:
            yield _label(
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
            yield _label("DEGENERATE_DATA", f"{w.name}: unlike real weights: {'; '.join(reasons)}")


def _library(e: Evidence) -> Iterator[Code]:
    library = e.meter.library or e.device.nvml_library
    if library is not None and (library.get("fake") or not library.get("standard_path", True)):
        yield _label("FAKE_LIBRARY", f"NVML came from {library.get('path')}, no driver's folder")


Rule = Callable[[Evidence], Iterator[Code]]
RULES: tuple[Rule, ...] = (
    _interrupted,
    _failed,
    _meter_lost,
    _no_data,
    _verified,
    _shares,
    _share_count,
    _no_energy,
    _instrument,
    _counter,
    _disagreement,
    _power_range,
    _frozen,
    _not_loaded,
    _coverage,
    _gaps,
    _throttled,
    _power_limit,
    _paused,
    _spread,
    _too_few_blocks,
    _unranked,
    _data_profile,
    _library,
)

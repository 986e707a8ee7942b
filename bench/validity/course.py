"""How the run went: ended early, paused, too short, too few blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.records.run import Code, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, label

MIN_BLOCKS = 8
COVERAGE = 0.8


def _interrupted(e: Evidence) -> Iterator[Code]:
    if e.interrupted:
        yield label("INTERRUPTED", "stopped early; what was measured is kept: run again")


def _failed(e: Evidence) -> Iterator[Code]:
    begun = {w.name for w in e.workloads}
    for name, (kind, text) in e.failures.items():
        if kind == "unverified":
            continue
        lost = kind == "device" and e.device.kind == "gpu" and name in begun
        code = "GPU_LOST" if lost else "NO_DATA"
        yield fatal(code, f"{name} could not go on: {text}")


def _no_data(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if not w.windows and w.name not in e.failures and not e.interrupted:
            yield fatal("NO_DATA", f"{w.name}: no block could be booked; lengthen --window")


def _paused(e: Evidence) -> Iterator[Code]:
    offsets = [pair.boottime_s - pair.monotonic_s for pair in e.book.clocks]
    if offsets and max(offsets) - min(offsets) > 0.1:
        yield fatal("PAUSED", "the machine slept during the run; run again")


def _coverage(e: Evidence) -> Iterator[Code]:
    """Edges are moved inwards to marks and ticks; a block that shrinks by much did not run on."""
    for w in e.workloads:
        spans = math.fsum(s.end_s - s.start_s for s in e.book.blocks(w.name))
        booked = _seconds(w)
        if w.windows and booked < COVERAGE * spans:
            text = (
                f"{w.name}: marks and readings cover {booked:.0f} of {spans:.0f} s; raise --window"
            )
            yield Code("COVERAGE", text, e.grade.ranked)


def _too_few_blocks(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if e.grade.ranked and not e.interrupted and 0 < len(w.windows) < MIN_BLOCKS:
            yield fatal("TOO_FEW_BLOCKS", f"{w.name}: {len(w.windows)} blocks, {MIN_BLOCKS} needed")


def _short_window(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if _too_short(e, w):
            text = f"{w.name}: {_seconds(w):.0f} s measured, a rank needs {e.limits.window_s:.0f} s"
            yield label("SHORT_WINDOW", text)


def _unranked(e: Evidence) -> Iterator[Code]:
    """What no table may rank, with every reason."""
    reasons = []
    if not e.grade.ranked:
        reasons.append(f"the {e.grade.name} grade is a first look: use --grade standard")
    if e.grade.name == "publish":
        reasons.append("not every check of the publish grade exists yet")
    if any(_too_short(e, w) for w in e.workloads):
        reasons.append("measured too briefly: leave --window out or raise it")
    if e.meter.source in ("assumed", "sim") or e.meter.mismatch:
        reasons.append("the joules were not measured on this device")
    if reasons:
        yield label("UNRANKED", "; ".join(reasons))


def _too_short(e: Evidence, w: WorkloadRecord) -> bool:
    whole = bool(w.windows) and not e.interrupted
    return e.grade.ranked and whole and _seconds(w) < COVERAGE * e.limits.window_s


def _seconds(w: WorkloadRecord) -> float:
    return math.fsum(window.end_s - window.start_s for window in w.windows)


RULES: tuple[Rule, ...] = (
    _interrupted,
    _failed,
    _no_data,
    _paused,
    _coverage,
    _too_few_blocks,
    _short_window,
    _unranked,
)

"""Whether a token workload is what it was set up to be: its phases add up, its limit is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bench.records.run import Code, Metrics
from bench.validity.evidence import Evidence, Rule, label

APART = 0.15
"""How far prefill and decode may stand from the mix before it is no steady mix of the two."""


def _apart(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        share = w.metrics.phases_over_whole
        if share is None or abs(share - 1) <= APART + _half(w.metrics):
            continue
        text = (
            f"{w.name}: prefill and decode alone come to {share:.2f} of the joules of the mix;"
            " the slots were not in steady state, or a phase ran at another clock: raise --window"
        )
        yield label("PHASES_APART", text)


def _half(metrics: Metrics) -> float:
    """What the intervals of all three leave open, relative."""
    phases = [part["joules_per_token"] for part in (metrics.prefill, metrics.decode) if part]
    whole = metrics.joules_per_unit
    known: list[dict[str, Any]] = [each for each in phases if each]
    halves = [(each["hi"] - each["lo"]) / 2 / each["mid"] for each in known if each["mid"] > 0]
    if whole is not None and whole.mid > 0:
        halves.append((whole.hi - whole.lo) / 2 / whole.mid)
    return math.hypot(*halves)


def _limit(e: Evidence) -> Iterator[Code]:
    """A batch that was looked for under a limit on TPOT, and does not keep it."""
    for w in e.workloads:
        limit_s, tpot = w.config.get("slo_tpot_s"), w.metrics.tpot_s
        if limit_s is None or tpot is None or tpot["p99"] <= limit_s:
            continue
        text = f"{w.name}: TPOT p99 is {1e3 * tpot['p99']:.4g} ms, its limit {1e3 * limit_s:g} ms"
        yield label("SLO_MISSED", f"{text}: give a smaller --batch, or free the machine")


RULES: tuple[Rule, ...] = (_apart, _limit)

"""A token workload beside its limits: measured ones, and those that its card's profile tells.

The datasheet also says what joules to expect, by the priors that unseen cards are judged by; a
measurement far from them has something to explain.
"""

from __future__ import annotations

from dataclasses import replace

from bench.predict.limits import compute_flops
from bench.predict.priors import (
    PRECISION_SHARES,
    PREFILL_OVER_DECODE_POWER,
    PRIORS,
    decode_share,
)
from bench.records.journal import JsonObject
from bench.records.market import GpuProfile
from bench.records.run import Metrics, WorkloadFacts
from bench.utilisation import Peaks, TokenWork, measured_peaks, parts, shares, told, work_of


def with_roofs(
    figures: Metrics, facts: WorkloadFacts, gpu: GpuProfile | None, limit_w: float | None
) -> Metrics:
    """MFU, MBU and the roofline's share, where the workload told its work and had a rate.

    The top ones are shares of the measured peaks; ``roofs`` has both kinds. Raises ValueError for
    work that cannot be.
    """
    work = work_of(facts.details)
    if work is None or figures.units_per_s is None:
        return figures
    rate, peaks, measured = figures.units_per_s.mid, measured_peaks(facts.details), None
    if peaks is not None:
        found = shares(work, rate, peaks)
        measured = told(found, peaks)
        figures = replace(
            figures,
            mfu=found.mfu,
            mbu_useful=found.mbu_useful,
            mbu_moved=found.mbu_moved,
            roofline_fraction=found.roofline_fraction,
        )
    sheet = None if gpu is None else _datasheet(work, rate, gpu, limit_w)
    return replace(figures, roofs={"measured": measured, "datasheet": sheet})


def _datasheet(
    work: TokenWork, tokens_per_s: float, gpu: GpuProfile, limit_w: float | None
) -> JsonObject | None:
    """Shares of a card's datasheet and the J/token to expect; null without such arithmetic."""
    flops = compute_flops(gpu, work.precision)
    if flops is None:
        return None
    peaks = Peaks(gpu.bandwidth_bytes_per_s.value, flops)
    found = shares(work, tokens_per_s, peaks)
    return {
        "card": gpu.name,
        **told(found, peaks),
        "expected_joules_per_token": expected_joules(work, peaks, gpu, limit_w),
    }


def expected_joules(
    work: TokenWork, peaks: Peaks, gpu: GpuProfile, limit_w: float | None
) -> float | None:
    """J/token by the priors of a card: power over rate of each pass, within the power limit.

    Null for a precision that no prior speaks of.
    """
    if work.precision not in PRECISION_SHARES:
        return None
    most_w = min(gpu.tdp_w.value, limit_w or gpu.tdp_w.value)
    decode_w = min(PRIORS["decode power"].mid * gpu.tdp_w.value, most_w)
    prefill_w = min(PREFILL_OVER_DECODE_POWER * decode_w, most_w)
    joules = 0.0
    for number, (part, tokens) in enumerate(parts(work)):
        seconds = part.seconds(peaks.read_bytes_per_s, peaks.flops) / tokens
        if number == 0 and work.batch is not None:
            joules += decode_w * seconds / decode_share(work.batch, work.precision)
        else:
            joules += prefill_w * seconds / PRIORS["prefill rate"].mid
    return joules

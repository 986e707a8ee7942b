"""A stored run as what it says of its card: rates and powers over the model's own. Pure.

A run that claims more than its card can do says nothing and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.budget import GAIN_U
from bench.predict.limits import hash_limit, pace
from bench.predict.point import PRECISIONS, Asked
from bench.predict.priors import PRIORS, Kind, decode_share
from bench.records.audit import HashLimit
from bench.records.decode import from_object
from bench.records.journal import JsonObject
from bench.records.market import GpuProfile, ModelConfig
from bench.records.record import RunRecord
from bench.records.run import Estimate, WorkloadRecord
from bench.roofline import HashCounts

TOLERANCE = 1.02
"""A rate may stand this far above a ceiling: clocks are sampled, not known."""
LEAST_POWER_SHARE = 0.3
"""Of TDP, what a card at full work cannot stay below: J/unit under this over the ceiling's rate
is a counting error. Batch-1 decode draws 0.5 of TDP and more in public tables."""
Mark = Literal["measured", "simulated"]


class Refused(ValueError):  # noqa: N818 - an answer, not a fault
    """A run that cannot be placed, in one line: what, why, what to do."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A measured figure over the prior's prediction, with its relative 95 % half-width."""

    mid: float
    half: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one card; ``ratios`` hold what it measured, ``asked`` the point of its decode."""

    run_id: str
    gpu: GpuProfile
    mark: Mark
    ranked: bool
    ratios: Mapping[Kind, Ratio]
    idle_w: Estimate | None
    asked: Asked | None = None


def measured(
    record: RunRecord,
    gpu: GpuProfile | None,
    *,
    hash_clock_hz: float | None = None,
    decode_model: ModelConfig | None = None,
) -> Measured:
    """What a record says of its card; Refused where it says nothing that may be used.

    ``hash_clock_hz`` is the SM clock sampled while it hashed, null if none was: boost then.
    """
    codes = {code.name for code in record.validity.codes}
    if record.validity.status in ("invalid", "incomplete"):
        raise Refused(f"the run is {record.validity.status}; bench verify says more")
    if record.device.kind == "cpu":
        raise Refused("the run is of a CPU; this table compares cards")
    if gpu is None:
        raise Refused(f"no profile for {record.device.name}; add one to profiles/gpus")
    ratios: dict[Kind, Ratio] = {}
    hashing = _by_unit(record, "sha256d")
    if hashing is not None:
        ratios |= _hash_ratios(hashing, gpu, hash_clock_hz)
    asked = None
    if (decoding := _by_unit(record, "serve") or _by_unit(record, "decode")) and decode_model:
        asked = _point(decoding, decode_model)
        for name, reached in _reached(decoding).items():
            ratios |= _prefill_ratio(reached, gpu, asked) if name == "prefill" else {}
            ratios |= _decode_ratios(reached, gpu, asked) if name == "decode" else {}
    if not ratios:
        raise Refused("the run holds neither a hash rate nor a token rate of a shipped model")
    simulated = record.device.kind == "sim" or record.meter.source == "sim"
    return Measured(
        run_id=record.run_id,
        gpu=gpu,
        mark="simulated" if simulated else "measured",
        ranked="UNRANKED" not in codes,
        ratios=ratios,
        idle_w=record.idle.watts_absolute or record.idle.watts,
        asked=asked,
    )


def check_hash_rate(
    gpu: GpuProfile,
    rate_hs: float,
    watts: float | None = None,
    clock_hz: float | None = None,
    counts: HashCounts | None = None,
) -> None:
    """Refused where a hash rate, or its joules, cannot be: the audited ceiling at its clock.

    ``counts`` are those of the kernel that ran, else the plain one's.
    """
    clock = clock_hz or gpu.boost_hz.value
    ceiling = hash_limit(gpu, clock, counts=counts, nominal_lanes=True)
    if ceiling is None:
        return
    if rate_hs > TOLERANCE * ceiling:
        which = "boost" if clock_hz is None else "sampled"
        raise Refused(
            f"{rate_hs / 1e9:.4g} GH/s is above {TOLERANCE:g} × the audited ceiling of {gpu.title}:"
            f" {gpu.sm.value:.0f} SMs × 64 lanes × {clock / 1e6:.0f} MHz ({which}) over its"
            f" instructions give {ceiling / 1e9:.4g} GH/s; count the hashes again"
        )
    _check_joules("hash", rate_hs, watts, ceiling, gpu)


def check_decode_rate(
    gpu: GpuProfile, asked: Asked, tokens_per_s: float, watts: float | None = None
) -> None:
    """Refused where a decode rate, or its joules, cannot be: the roofline of its point."""
    assert asked.batch is not None
    ceiling = asked.batch / pace(gpu, asked, asked.batch).decode_s
    if tokens_per_s > TOLERANCE * ceiling:
        raise Refused(
            f"{tokens_per_s:.4g} tok/s is above {TOLERANCE:g} × the roofline of {gpu.title}:"
            f" {asked.model.name} {asked.precision} at batch {asked.batch}, context"
            f" {asked.mean_context:g} over {gpu.bandwidth_bytes_per_s.value / 1e9:.0f} GB/s gives"
            f" {ceiling:.4g} tok/s; count the tokens again"
        )
    _check_joules("token", tokens_per_s, watts, ceiling, gpu)


def _check_joules(
    unit: str, rate: float, watts: float | None, ceiling: float, gpu: GpuProfile
) -> None:
    if watts is None:
        return
    floor = LEAST_POWER_SHARE * gpu.tdp_w.value / (TOLERANCE * ceiling)
    if watts / rate < floor:
        raise Refused(
            f"{watts / rate:.4g} J/{unit} is below the floor of {gpu.title}: {LEAST_POWER_SHARE:g}"
            f" × {gpu.tdp_w.value:.0f} W over {ceiling:.4g} {unit}s/s is {floor:.4g} J;"
            " check the meter and its boundary"
        )


def _by_unit(record: RunRecord, name: str) -> WorkloadRecord | None:
    """The workload of that name with the best rate; null without one."""
    found = [w for w in record.workloads if w.name == name and w.metrics.units_per_s is not None]
    return max(found, key=lambda w: _rate(w).mid, default=None)


def _rate(workload: WorkloadRecord) -> Estimate:
    assert workload.metrics.units_per_s is not None
    return workload.metrics.units_per_s


def _half(estimate: Estimate) -> float:
    return (estimate.hi - estimate.lo) / 2 / abs(estimate.mid) if estimate.mid else 0.0


def _watts(workload: WorkloadRecord) -> Ratio | None:
    """Board watts as the budget of its joules leaves them; null without a meter of its own."""
    metrics = workload.metrics
    if metrics.boundary != "board" or metrics.joules_source in ("unavailable", "assumed"):
        return None
    joules, rate = metrics.joules_per_unit_absolute, _rate(workload).mid
    if joules is not None:
        return Ratio(joules.mid * rate, _half(joules))
    if metrics.joules_per_unit is None:
        return None
    own = metrics.joules_per_unit
    return Ratio(own.mid * rate, math.hypot(_half(own), 1.96 * GAIN_U))


def _power_ratio(kind: Kind, watts: Ratio, gpu: GpuProfile) -> Ratio:
    return Ratio(watts.mid / (PRIORS[kind].mid * gpu.tdp_w.value), watts.half)


def _hash_ratios(
    workload: WorkloadRecord, gpu: GpuProfile, clock_hz: float | None
) -> dict[Kind, Ratio]:
    rate, watts = _rate(workload), _watts(workload)
    power_w = None if watts is None else watts.mid
    check_hash_rate(gpu, rate.mid, power_w, clock_hz, _counts(workload))
    limit = hash_limit(gpu)
    if limit is None:
        return {}
    found: dict[Kind, Ratio] = {
        "hash rate": Ratio(rate.mid / (PRIORS["hash rate"].mid * limit), _half(rate))
    }
    if watts is not None:
        found["hash power"] = _power_ratio("hash power", watts, gpu)
    return found


def _counts(workload: WorkloadRecord) -> HashCounts | None:
    """What the run says of its own kernel: a balanced one passes the plain one's ceiling."""
    if (limit := workload.config.get("limit")) is None:
        return None
    try:
        known = from_object(HashLimit, limit)
    except ValueError as error:
        raise Refused(f"its hash kernel's limit makes no sense: {error}") from error
    return HashCounts(known.instructions, known.alu, known.fma_slots)


@dataclass(frozen=True, slots=True)
class Reached:
    """Tokens a second of one phase, and the board's watts meanwhile where they are known."""

    rate: Ratio
    watts: Ratio | None


def _reached(workload: WorkloadRecord) -> dict[str, Reached]:
    """What each phase reached: of serving those that ran alone, of decoding its own blocks."""
    if workload.name == "decode":
        rate = _rate(workload)
        return {"decode": Reached(Ratio(rate.mid, _half(rate)), _watts(workload))}
    metrics, found = workload.metrics, {}
    for name, phase in (("prefill", metrics.prefill), ("decode", metrics.decode)):
        if phase is not None:
            tokens = Ratio(phase["tokens_per_s"], _half(_rate(workload)))
            found[name] = Reached(tokens, _phase_watts(workload, phase))
    return found


def _phase_watts(workload: WorkloadRecord, phase: JsonObject) -> Ratio | None:
    """The phase's share of the power, with the doubt of the same meter's joules of the mix."""
    whole, own = _watts(workload), workload.metrics.joules_per_unit
    joules = phase["joules_per_token"]
    if whole is None or own is None or joules is None:
        return None
    spread = (joules["hi"] - joules["lo"]) / 2 / joules["mid"]
    moved = whole.mid / (own.mid * _rate(workload).mid)
    return Ratio(joules["mid"] * phase["tokens_per_s"] * moved, math.hypot(spread, whole.half))


def _prefill_ratio(reached: Reached, gpu: GpuProfile, asked: Asked) -> dict[Kind, Ratio]:
    """Prompt tokens a second over what the prior says of this prompt's length."""
    roof = asked.prompt / pace(gpu, asked, 1).prefill_s
    if reached.rate.mid > TOLERANCE * roof:
        raise Refused(
            f"{reached.rate.mid:.4g} prompt tok/s is above {TOLERANCE:g} × the roofline of"
            f" {gpu.title}, {roof:.4g} tok/s; count the tokens again"
        )
    return {
        "prefill rate": Ratio(
            reached.rate.mid / (PRIORS["prefill rate"].mid * roof), reached.rate.half
        )
    }


def _point(workload: WorkloadRecord, model: ModelConfig) -> Asked:
    """Where it ran; what was only decoded had its context for a prompt and no request's end."""
    config = workload.config
    precision, batch, mix = config.get("precision"), config.get("batch"), config.get("mix")
    if precision not in PRECISIONS or not isinstance(batch, int) or batch < 1:
        raise Refused(f"its tokens were made at an unknown point: {precision} batch {batch}")
    context = config.get("mean_context", config.get("context"))
    if context is None and mix:
        context = mix["in_tokens"] + mix["out_tokens"] / 2
    if not isinstance(context, int | float) or not context > 0:
        raise Refused(f"its decode names no context: {context}")
    kv_bytes = 4.0 if precision == "fp32" else 2.0
    prompt, output = (mix["in_tokens"], mix["out_tokens"]) if mix else (context, 1)
    return Asked(model, precision, int(prompt), int(output), batch, None, float(context), kv_bytes)


def _decode_ratios(reached: Reached, gpu: GpuProfile, asked: Asked) -> dict[Kind, Ratio]:
    rate, watts = reached.rate, reached.watts
    check_decode_rate(gpu, asked, rate.mid, None if watts is None else watts.mid)
    assert asked.batch is not None
    roof = asked.batch / pace(gpu, asked, asked.batch).decode_s
    share = decode_share(asked.batch, asked.precision)
    found: dict[Kind, Ratio] = {"decode rate": Ratio(rate.mid / (share * roof), rate.half)}
    if watts is not None:
        found["decode power"] = _power_ratio("decode power", watts, gpu)
    return found

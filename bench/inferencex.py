"""A workload under the field names of InferenceX, whose rows are of requests to a GPU. Pure.

Names and units are those of ``utils/process_result.py`` and ``utils/aggregate_power.py`` of
SemiAnalysisAI/InferenceX at 843c6254ff69 (2026-08-21): seconds, tokens/s, W, J at the GPU board.
"""

from __future__ import annotations

from bench.records.compute_card import CardWork, InferenceXRow, Latency, reasoned
from bench.records.record import RunRecord
from bench.records.run import Estimate

POWER_METRICS = 2
"""Their version of what the joules mean: those of the whole deployment over tokens of one kind."""
OWN_TIERS = ("T0", "T1")
MEASURED = ("measured-counter", "measured-polled")
LEAST_TOKENS, MOST_TOKENS = 1, 1e9
LEAST_TPOT_S = 1e-9
LAID_OUT = "a client does not see how a server is laid out"
WHY = {
    "framework": "the server does not name its engine",
    "precision": "the server does not tell it",
    "conc": "requests arrive at a rate, as many at once as it brings",
    "tp": LAID_OUT,
    "disagg": LAID_OUT,
}


def row(work: CardWork, record: RunRecord) -> InferenceXRow | str:
    """The row, or why there can be none."""
    if (reason := _why_none(work, record)) is not None:
        return reason
    rate, inward, outward = work.units_per_s, work.prompt_tokens, work.output_tokens
    assert rate is not None
    assert work.model
    assert inward
    assert outward
    own, device = work.tier in OWN_TIERS, record.device
    latencies = {
        **_latency("ttft", work.ttft_s),
        **_latency("tpot", work.tpot_s),
        **_latency("intvty", _inverse(work.tpot_s)),
        **_latency("itl", work.itl_s),
    }
    why_power = _why_no_power(work)
    joules = None if why_power else work.energy.joules_per_unit
    power = _power(joules, None if why_power else work.energy.watts, inward / outward)
    return reasoned(
        InferenceXRow,
        WHY
        | dict.fromkeys(latencies, "no requests were timed")
        | dict.fromkeys(power, why_power or "not in the record"),
        hw=device.name if device.kind == "sim" else device.profile or device.name,
        model=work.model,
        framework="joulemark" if own else _engine(work, record),
        precision=work.precision,
        isl=inward,
        osl=outward,
        conc=work.concurrency,
        tp=1 if own else None,
        disagg=False if own else None,
        is_multinode=False,
        tput_per_gpu=rate.mid * (1 + inward / outward),
        output_tput_per_gpu=rate.mid,
        input_tput_per_gpu=rate.mid * inward / outward,
        **latencies,
        power_metric_schema_version=POWER_METRICS,
        power_valid=int(joules is not None),
        **power,
    )


def _why_none(work: CardWork, record: RunRecord) -> str | None:
    if work.unit != "token":
        return "it hashes: there are no tokens"
    if record.device.kind == "cpu":
        return "its rows are of GPUs"
    if record.validity.status in ("invalid", "incomplete"):
        return f"the run is {record.validity.status}"
    if work.units_per_s is None or not work.model:
        return work.reasons.get("units_per_s", "the model has no name")
    inward, outward = work.prompt_tokens, work.output_tokens
    if inward is None or outward is None:
        return "its rows are of requests, and none were served"
    likely = all(LEAST_TOKENS <= tokens <= MOST_TOKENS for tokens in (inward, outward))
    return None if likely else f"no requests are of {inward:g} tokens in and {outward:g} out"


def _why_no_power(work: CardWork) -> str | None:
    """Their joules are measured, at the board."""
    energy = work.energy
    if energy.source not in MEASURED:
        return f"the joules were not measured: {energy.source}"
    if energy.boundary != "board":
        return f"the joules are those of the {energy.boundary}, not of the board"
    return energy.reasons.get("joules_per_unit")


def _power(
    joules: Estimate | None, watts: Estimate | None, ratio: float
) -> dict[str, float | None]:
    """W, and J of prefill and decode together over each kind of token; ``ratio`` is in per out."""
    out = None if joules is None else joules.mid
    return {
        "avg_power_w": None if watts is None else watts.mid,
        "joules_per_input_token": None if out is None else out / ratio,
        "joules_per_output_token": out,
        "joules_per_total_token": None if out is None else out / (1 + ratio),
    }


def _latency(name: str, found: Latency | None) -> dict[str, float | None]:
    values = (None, None, None) if found is None else (found.p50, found.p90, found.p99)
    return dict(zip((f"median_{name}", f"p90_{name}", f"p99_{name}"), values, strict=True))


def _inverse(tpot_s: Latency | None) -> Latency | None:
    """Tokens/s of a user whose time per output token is this: at p99 the slow ones' too."""
    if tpot_s is None or min(tpot_s.p50, tpot_s.p90, tpot_s.p99) < LEAST_TPOT_S:
        return None
    return Latency(1 / tpot_s.p50, 1 / tpot_s.p90, 1 / tpot_s.p99)


def _engine(work: CardWork, record: RunRecord) -> str | None:
    named = (each.config.get("engine") for each in record.workloads if each.name == work.name)
    engine = next(named, None)
    return engine if isinstance(engine, str) else None

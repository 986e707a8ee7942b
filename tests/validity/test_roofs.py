"""Tokens faster, or cheaper, than the device can make them. One test a rule."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.catalogue import load_gpu, load_model
from bench.records.market import GpuProfile
from bench.records.run import Check, DeviceFacts, WorkloadFacts

Run = Any
H200 = load_gpu("h200")
READ, FLOPS = 4.4e12, 750e12


def decoding(run: Run, *, roofs: dict[str, Any] | None = None, **work: Any) -> WorkloadFacts:
    """8b bf16 at batch 8, context 1024, on a card with measured roofs: 0.84 of the datasheet's
    roofline at the clean run's 2000 tokens/s."""
    base = {"model": load_model("8b").config, "precision": "bf16", "bytes_per_kv": 2.0}
    told = {**base, "batch": 8, "mean_context": 1024.0, "padded_context": 1088.0, **work}
    seen = {"read_bytes_per_s": READ, "gemm_flops": FLOPS, "cache_bytes": 50 << 20, **(roofs or {})}
    return replace(run.decoding, details={"launch_s": 0.02, "work": told, "roofs": seen})


def named(run: Run, facts: WorkloadFacts, **changes: Any) -> dict[str, bool]:
    journal = run.events(
        "prepared",
        lambda data: {**data, "details": facts.details} if data["name"] == "decode" else data,
    )
    given = {"gpu": H200, "workloads": (run.hashing, facts), **changes}
    return run.named(journal, **given)


def test_a_fair_run_of_a_card_has_nothing_to_explain(run: Run) -> None:
    assert named(run, decoding(run)) == {}


def test_more_tokens_than_the_datasheet_allows_were_not_made(run: Run) -> None:
    counted_twice = decoding(run, batch=4)
    assert named(run, counted_twice)["INFER_TOO_FAST"] is True
    assert named(run, counted_twice, gpu=None)["INFER_TOO_FAST"] is True


def test_above_a_measured_roof_is_doubt_before_it_is_wrong(run: Run) -> None:
    """0.91 of the measured read bandwidth; at half the roof that is 1.8."""
    slow = decoding(run, roofs={"read_bytes_per_s": READ / 2})
    assert named(run, slow, gpu=None)["INFER_TOO_FAST"] is True
    disturbed = decoding(run, roofs={"read_bytes_per_s": READ / 1.3})
    assert named(run, disturbed, gpu=None) == {"ROOF_DOUBTFUL": False}
    processor = DeviceFacts("cpu", "processor")
    meter = replace(run.meter, source="none", name="none", reason="no meter")
    on_cpu = named(run, slow, gpu=None, device=processor, meter=meter)
    assert on_cpu["ROOF_DOUBTFUL"] is False
    assert "INFER_TOO_FAST" not in on_cpu


def test_memory_does_not_bound_what_stays_in_the_cache(run: Run) -> None:
    for cache in (16 << 30, None):
        held = decoding(run, roofs={"read_bytes_per_s": READ / 3, "cache_bytes": cache})
        assert named(run, held, gpu=None) == {}
    busy = decoding(run, roofs={"gemm_flops": 5e12, "cache_bytes": None})
    assert named(run, busy, gpu=None)["INFER_TOO_FAST"] is True


@pytest.mark.parametrize(
    "roofs",
    [{"read_bytes_per_s": 5.1e12}, {"read_bytes_per_s": 2.3e12}, {"gemm_flops": 1200e12}],
    ids=str,
)
def test_a_measured_roof_must_fit_the_datasheet(run: Run, roofs: dict[str, float]) -> None:
    assert named(run, decoding(run, roofs=roofs))["ROOF_DOUBTFUL"] is False
    assert "ROOF_DOUBTFUL" not in named(run, decoding(run))


def slower(run: Run, factor: float) -> dict[str, Any]:
    """Fewer tokens in the same time and power: more joules a token."""
    marks = [
        replace(f, units=f.units / factor) if getattr(f, "workload", 0) == "decode" and
        hasattr(f, "units") else f
        for f in run.clean
    ]  # fmt: skip
    return run.named(marks, gpu=H200, workloads=(run.hashing, decoding(run)))


def test_more_than_100_joules_a_token_is_no_gpu(run: Run) -> None:
    assert slower(run, 600)["INFER_JOULES"] is True
    found = slower(run, 10)
    assert "INFER_JOULES" not in found
    assert found["INFER_UNUSUAL"] is False


def dim(share: float) -> GpuProfile:
    """The card with that much of its bandwidth, so that a token needs as much longer."""
    bandwidth = replace(H200.bandwidth_bytes_per_s, value=share * 4.8e12)
    return replace(H200, bandwidth_bytes_per_s=bandwidth)


def test_below_idle_power_at_full_speed_lies_no_token(run: Run) -> None:
    """0.2 J/token; idle is 60 W, so the floor passes it where a token needs 3.4 ms."""
    assert named(run, decoding(run), gpu=dim(0.1))["INFER_JOULES"] is True
    assert "INFER_JOULES" not in named(run, decoding(run), gpu=dim(0.2))


def test_joules_far_from_what_is_expected_are_said(run: Run) -> None:
    """Expected: 0.85 of 700 W over 0.69 of 2380 tokens/s, 0.36 J; measured 0.2."""
    assert "INFER_UNUSUAL" not in named(run, decoding(run))
    dearer = replace(H200, tdp_w=replace(H200.tdp_w, value=900.0))
    unlimited = replace(run.card, power_limit_w=None, power_limit_default_w=None)
    assert named(run, decoding(run), gpu=dearer, device=unlimited)["INFER_UNUSUAL"] is False
    assert "INFER_UNUSUAL" not in named(run, decoding(run), gpu=None)


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("ragged batch of 3: finite", "INFER_NONFINITE"),
        ("logits finite", "INFER_NONFINITE"),
        ("tokens reported = produced", "INFER_COUNT"),
        ("no output is cut short", "INFER_TRUNCATED"),
        ("a repeated prompt is computed anew", "INFER_CACHED"),
        ("a repeated prompt is no faster", "INFER_CACHED"),
        ("ragged batch of 3: divergence", "INFER_MISMATCH"),
    ],
)
def test_every_failed_check_of_a_decoder_has_its_code(run: Run, check: str, code: str) -> None:
    failed = {**run.checks, "decode": (Check(check, False, "so it is"),)}
    assert run.named(checks=failed)[code] is True


def test_work_that_cannot_be_is_named(run: Run) -> None:
    for wrong, text in (
        ({"batch": 0}, "above 0"),
        ({"precision": "int3"}, "int3"),
        ({"model": {"n_layers": 2}}, "d_model"),
        ({"batch": None}, "neither"),
        ({"mean_context": None}, "mean_context"),
    ):
        with pytest.raises(ValueError, match=text):
            named(run, decoding(run, **wrong))


def test_the_record_holds_both_kinds_of_shares(run: Run) -> None:
    from bench.derive import Raw, derive_raw

    facts = decoding(run)
    raw = Raw(run.card, run.meter, "standard", (facts,), run.checks, gpu=H200)
    found = derive_raw(raw, run.clean).workloads[0].metrics
    assert found.roofs is not None
    measured, sheet = found.roofs["measured"], found.roofs["datasheet"]
    step_bytes = 2 * 7_504_658_432 + 8 * (2 * 4096 + 4 * 128_256) + 8 * 1026 * 131_072
    assert found.mbu_useful == pytest.approx(2000 / 8 * step_bytes / READ, rel=1e-3)
    assert sheet["mbu_useful"] == pytest.approx(found.mbu_useful * READ / 4.8e12)
    moved = step_bytes + 8 * (1088 - 1025) * 131_072
    assert found.mbu_moved == pytest.approx(found.mbu_useful * moved / step_bytes)
    attention = 4 * 32 * 32 * 128 * 1025
    assert found.mfu == pytest.approx(2000 * (2 * 7_504_658_432 + attention) / FLOPS, rel=1e-3)
    assert found.roofline_fraction == pytest.approx(found.mbu_useful, rel=1e-3)
    assert sheet["card"] == "h200"
    assert sheet["expected_joules_per_token"] == pytest.approx(0.362, rel=0.01)
    assert measured["read_bytes_per_s"] == READ
    assert asdict(found)["roofs"] == found.roofs

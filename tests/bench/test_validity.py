"""Every code reached by a constructed case, and a clean run reaches none that is fatal."""

import hashlib
import struct
from dataclasses import replace

import pytest

from bench.derive import Raw, derive_raw
from bench.records.journal import ClockPair, Event, Progress, Sample, Share, Span
from bench.records.run import Check, DeviceFacts, MeterFacts, WorkloadFacts
from bench.validity.work import poisson_tail

GPU = DeviceFacts(
    kind="gpu", name="card", uuid="GPU-1", power_limit_w=700.0, power_limit_default_w=700.0,
    power_limit_max_w=700.0,
)  # fmt: skip
CPU = DeviceFacts(kind="cpu", name="processor")
COUNTER = MeterFacts(source="nvml-counter", name="nvml:0", scope="gpu")
NONE = MeterFacts(source="none", name="none", reason="no sensor here")
HASH = WorkloadFacts("sha256d", "cupy", "hash", None, {})
PASSED = {"sha256d": (Check("known answers", True, "8 of 8"),)}
BLOCK_S, BLOCKS, WATTS, RATE = 6.0, 10, 300.0, 1000


def journal(watts=WATTS, rate=RATE):
    facts = [Span("idle", None, 0.0, 20.0)]
    end = 20.0 + BLOCK_S * BLOCKS
    times = [k * 0.1 for k in range(int(end / 0.1) + 1)]
    facts += [Sample(t, "energy_j", 60 * min(t, 20) + watts * max(t - 20, 0)) for t in times]
    facts += [
        Sample(t, "power_instant_w", (60.0 if t < 20 else watts) * (1 + 0.001 * (k % 3 - 1)))
        for k, t in enumerate(times)
    ]
    facts += [Progress(20 + k * 0.05, int(rate * k * 0.05), "sha256d") for k in range(1201)]
    facts += [
        Span("block", "sha256d", 20 + k * BLOCK_S, 20 + (k + 1) * BLOCK_S) for k in range(BLOCKS)
    ]
    return facts


def raw(**changes):
    base = Raw(GPU, COUNTER, "standard", (HASH,), PASSED)
    return replace(base, **changes)


def codes(facts, **changes):
    validity = derive_raw(raw(**changes), facts).validity
    return validity.status, {code.name: code for code in validity.codes}


def without(facts, kind):
    return [f for f in facts if not isinstance(f, kind)]


def test_a_clean_run_has_no_fatal_code():
    status, found = codes(journal())
    assert status == "labelled"
    assert set(found) == {"UNCALIBRATED", "UNCHECKED", "PROVENANCE", "PROCESS_UNKNOWN"}


def test_every_code_says_something_in_one_line():
    _, found = codes(journal()[:500], meter=NONE, grade="quick", interrupted=True)
    assert {"NO_ENERGY", "UNRANKED", "INTERRUPTED"} <= set(found)
    assert all(code.text and "\n" not in code.text for code in found.values())


@pytest.mark.parametrize(
    ("meter", "name"),
    [
        (NONE, "NO_ENERGY"),
        (MeterFacts(source="assumed", name="assumed", constant_w=65.0), "ASSUMED_WATTS"),
        (MeterFacts(source="sim", name="sim:h100"), "SIMULATED"),
        (replace(COUNTER, mismatch=True), "METER_MISMATCH"),
        (replace(COUNTER, scope="module"), "MODULE_SCOPE"),
    ],
)
def test_instruments_are_labelled(meter, name):
    status, found = codes(journal(), meter=meter)
    assert name in found
    assert status == "labelled"


def test_too_short_a_window_is_unranked():
    status, found = codes(altered(Span, lambda f: replace(f, end_s=f.end_s - 2), phase="block"))
    assert {"SHORT_WINDOW", "UNRANKED"} <= set(found)
    assert status == "labelled"


def test_too_few_blocks():
    facts = [f for f in journal() if not isinstance(f, Span) or f.end_s < 60]
    assert codes(facts)[1]["TOO_FEW_BLOCKS"].fatal


def altered(kind, change, **wanted):
    """The journal with ``change`` applied to the facts of a kind that have the wanted fields."""
    return [
        change(f)
        if isinstance(f, kind) and all(getattr(f, k) == v for k, v in wanted.items())
        else f
        for f in journal()
    ]


def test_blocks_that_differ():
    facts = altered(Progress, lambda f: replace(f, units=f.units + max(0, f.units - 30000) // 5))
    status, found = codes(facts)
    assert found["SPREAD"].fatal
    assert status == "invalid"


def test_counter_and_polled_power_that_disagree():
    facts = altered(Sample, lambda f: replace(f, value=f.value * 1.1), field="power_instant_w")
    assert codes(facts)[1]["ENERGY_DISAGREE"].fatal


def test_a_counter_reset_falls_back_to_polled_power():
    facts = altered(
        Sample, lambda f: replace(f, value=f.value - 5000 * (f.t_s > 50)), field="energy_j"
    )
    derived = derive_raw(raw(), facts)
    assert "COUNTER_RESET" in {c.name for c in derived.validity.codes}
    assert derived.workloads[0].metrics.joules_per_unit.mid == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("watts", [0.0, 950.0])
def test_power_that_cannot_be(watts):
    assert codes(journal(watts=watts))[1]["POWER_OUT_OF_RANGE"].fatal


def test_power_that_never_moves_under_load():
    facts = altered(
        Sample,
        lambda f: replace(f, value=300.0 if f.t_s > 19.9 else f.value),
        field="power_instant_w",
    )
    assert codes(facts)[1]["POWER_FROZEN"].fatal


def test_a_meter_that_does_not_see_the_load():
    assert "NOT_LOADED" in codes(journal(watts=60.0))[1]
    assert "NOT_LOADED" not in codes(journal())[1]


def test_a_workload_that_stalls_in_its_blocks():
    stalled = [
        f
        for f in journal()
        if not (isinstance(f, Progress) and not 0.02 < (f.t_s - 20) % BLOCK_S < 1.0)
    ]
    found = codes(stalled)[1]
    assert found["COVERAGE"].fatal
    assert "COVERAGE" not in codes(journal())[1]


def test_a_counter_alone_is_no_gap():
    counted = [f for f in journal() if getattr(f, "field", "") != "power_instant_w"]
    assert "SAMPLING_GAPS" not in codes(counted)[1]


def test_publish_wants_more():
    found = codes(journal(), grade="publish")[1]
    assert {"SHORT_WINDOW", "UNRANKED"} <= set(found)
    apart = altered(Sample, lambda f: replace(f, value=f.value * 1.02), field="power_instant_w")
    assert "ENERGY_DISAGREE" in codes(apart, grade="publish")[1]
    assert "ENERGY_DISAGREE" not in codes(apart)[1]


def test_a_meter_lost_in_mid_run_leaves_no_invented_joules():
    heard = [f for f in journal() if not (isinstance(f, Sample) and f.t_s > 40)]
    derived = derive_raw(raw(), heard)
    metrics = derived.workloads[0].metrics
    assert metrics.joules_per_unit is None
    assert metrics.reason
    assert metrics.units_per_s is not None


def test_a_silent_stretch():
    facts = [f for f in journal() if not (isinstance(f, Sample) and 40 < f.t_s < 42)]
    assert codes(facts)[1]["SAMPLING_GAPS"].fatal


def test_throttling():
    facts = [*journal(), *(Sample(20.0 + k, "throttle_thermal_s", 0.02 * k) for k in range(60))]
    assert codes(facts)[1]["THROTTLED"].fatal


def test_power_limits():
    facts = [*journal(), Sample(1.0, "power_limit_w", 700.0), Sample(50.0, "power_limit_w", 500.0)]
    assert codes(facts)[1]["LIMIT_CHANGED"].fatal
    assert "LIMIT_NOT_DEFAULT" in codes(journal(), device=replace(GPU, power_limit_w=500.0))[1]


def test_a_machine_that_slept():
    facts = [*journal(), ClockPair(0.0, 0.0, 0.0), ClockPair(80.0, 90.0, 90.0)]
    assert codes(facts)[1]["PAUSED"].fatal


def test_a_lost_meter_and_a_strange_library():
    lost = Event(30.0, "meter_lost", {"text": "silent"})
    assert codes([*journal(), lost])[1]["SAMPLER_HUNG"].fatal
    named = Event(30.0, "meter_trouble", {"code": "GPU_LOST", "text": "Xid 79"})
    found = codes([*journal(), named, lost])[1]
    assert found["GPU_LOST"].fatal
    assert "SAMPLER_HUNG" not in found
    fake_meter = replace(COUNTER, library={"path": "/tmp/x.so", "fake": True})
    assert "FAKE_LIBRARY" in codes(journal(), meter=fake_meter)[1]
    fake = replace(GPU, nvml_library={"path": "/tmp/libnvidia-ml.so.1", "standard_path": False})
    assert "FAKE_LIBRARY" in codes(journal(), device=fake)[1]


@pytest.mark.parametrize(
    ("unit", "check", "name"),
    [
        ("hash", "real-headers", "HASH_WRONG"),
        ("hash", "exact-ranges", "HASH_MISSING_WORK"),
        ("token", "logits finite", "INFER_NONFINITE"),
        ("token", "tokens reported = produced", "INFER_COUNT"),
        ("token", "greedy tokens", "INFER_MISMATCH"),
    ],
)
def test_failed_checks_become_fatal_codes(unit, check, name):
    facts = WorkloadFacts("sha256d", "x", unit, None, {})
    status, found = codes(
        journal(),
        workloads=(facts,),
        checks={"sha256d": (Check(check, False, "no"),)},
        failures={"sha256d": ("unverified", "no")},
    )
    assert found[name].fatal
    assert status == "invalid"


def test_a_missing_workload_is_incomplete():
    status, found = codes(journal(), failures={"decode": ("missing", "no torch")})
    assert status == "incomplete"
    assert "no torch" in found["NO_DATA"].text
    assert "NO_DATA" in codes(journal(), failures={"decode": ("device", "no driver")})[1]
    assert "GPU_LOST" in codes(journal(), failures={"sha256d": ("device", "Xid 79")})[1]


def test_no_block_at_all():
    assert codes(without(journal(), Progress))[1]["NO_DATA"].fatal


def genesis():
    merkle = bytes.fromhex("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")
    return struct.pack("<I32s32sIII", 1, bytes(32), merkle, 1231006505, 0x1D00FFFF, 2083236893)


def test_shares_are_hashed_again():
    header = genesis()
    digest = hashlib.sha256(hashlib.sha256(header).digest()).digest()
    assert digest[28:] == bytes(4)
    right = Share(header.hex(), 2083236893, 0xFFFFFFFF)
    assert not {"HASH_WRONG", "HASH_DUPLICATE"} & set(codes([*journal(), right])[1])
    twice = codes([*journal(), right, right])[1]
    assert twice["HASH_DUPLICATE"].fatal
    other_nonce = replace(right, nonce=1)
    assert codes([*journal(), other_nonce])[1]["HASH_WRONG"].fatal
    spoiled = replace(right, header_hex=(bytes(4) + header[4:]).hex())
    assert codes([*journal(), spoiled])[1]["HASH_WRONG"].fatal


def test_missing_shares_are_missing_work():
    sharing = replace(HASH, config={"share_bits": 4})
    expected = RATE * 60 / 2**4
    shares = int(expected)
    found = codes(journal(), workloads=(sharing,))[1]
    assert "HASH_RATE" in found
    assert f"{shares}" in found["HASH_RATE"].text
    exempt = codes(journal(), workloads=(sharing,), interrupted=True)[1]
    assert "HASH_RATE" not in exempt
    thin = replace(HASH, config={"share_bits": 20})
    assert "FEW_SHARES" in codes(journal(), workloads=(thin,))[1]


@pytest.mark.parametrize(
    ("mean", "low", "high"), [(64, 29, 107), (1024, 871, 1184), (16384, 15762, 17014)]
)
def test_poisson_bounds_are_the_published_ones(mean, low, high):
    assert poisson_tail(low, mean) >= 5e-7 > poisson_tail(low - 1, mean)
    assert poisson_tail(high, mean) >= 5e-7 > poisson_tail(high + 1, mean)


def test_degenerate_data():
    flat = WorkloadFacts("sha256d", "torch", "token", "T0", {}, {"degenerate": ["flat logits"]})
    assert "DEGENERATE_DATA" in codes(journal(), workloads=(flat,))[1]


def test_latency_of_the_runs_is_summarised():
    facts = WorkloadFacts("sha256d", "torch", "token", "T0", {}, details={"prefill": {"tokens": 5}})
    percentiles = ({"p50_s": k, "p90_s": k, "p99_s": k, "n": 3} for k in (1, 2, 30))
    events = [Event(1.0, "step_latency", {"workload": "sha256d", **p}) for p in percentiles]
    metrics = derive_raw(raw(workloads=(facts,)), [*journal(), *events]).workloads[0].metrics
    assert metrics.tpot_s == {"p50": 2, "p90": 2, "p99": 2, "steps": 9}
    assert metrics.prefill == {
        "tokens": 5,
        "joules_per_token": None,
        "reason": "timed once while it was prepared, under no meter",
    }
    assert metrics.decode["tokens_per_s"] == pytest.approx(RATE, rel=0.01)
    assert metrics.decode["seconds"] == pytest.approx(60, rel=0.05)


def test_joules_of_another_instrument_are_never_ranked_and_each_reason_is_said_once():
    _, found = codes(journal(), meter=replace(COUNTER, mismatch=True))
    assert "not measured on this device" in found["UNRANKED"].text
    facts = altered(Span, lambda f: replace(f, end_s=f.end_s - 2), phase="block")
    both = (HASH, replace(HASH, name="decode"))
    names = [code.name for code in derive_raw(raw(workloads=both), facts).validity.codes]
    assert names.count("UNRANKED") == 1

"""Every scenario of ``bench infer`` on this CPU with ``micro``, the whole way to its JSON."""

import json
from dataclasses import replace

import pytest

from bench.cli import run
from bench.plan import GRADES
from bench.store import load

pytestmark = pytest.mark.slow

MIX = ("--prompt", "16", "--output", "8")
SCENARIOS = {
    "serve": ("--batch", "2", *MIX),
    "decode": ("--batch", "2", "--context", "16"),
    "single": ("--context", "16"),
    "prefill": ("--prompt", "16"),
    "mixed": ("--batch", "2", *MIX),
    "frontier": ("--batch", "1", *MIX),
}
REQUESTS = ("serve", "mixed", "frontier")
BRIEF = replace(
    GRADES["quick"], settle_s=0.05, idle_s=0.2, idle_settle_s=0.0, warmup_s=0.2, phase_blocks=1
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every scenario in blocks of a fifth of a second: name → what --json wrote, its records."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cpu")
        for name in ("CACHE_HOME", "STATE_HOME"):
            patch.setenv(f"XDG_{name}", str(place / name))
        patch.setitem(GRADES, "quick", BRIEF)
        for scenario, point in SCENARIOS.items():
            out, told = place / scenario, place / f"{scenario}.json"
            files = ["--out", str(out), "--json", str(told)]
            device = ["--device", "cpu", "--wait", "--grade", "quick", "--window", "0.8"]
            assert run(["infer", *device, "--scenario", scenario, *point, *files]) == 0
            records = [load(path) for path in sorted(out.glob("*.json"))]
            found[scenario] = json.loads(told.read_text()), records
        assert run(["verify", *map(str, place.glob("*/*.json"))]) == 0
    return found


def spread(latency):
    """Whether three percentiles stand in order above 0."""
    return 0 < latency["p50"] <= latency["p90"] <= latency["p99"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_runs_and_says_how_near_the_device_it_came(measured, scenario):
    _, records = measured[scenario]
    assert len(records) == (2 if scenario == "mixed" else 1)
    for record in records:
        (workload,) = record.workloads
        metrics = workload.metrics
        assert record.validity.status == "labelled", record.validity.codes
        assert workload.verified.passed
        assert metrics.units_per_s.mid > 0
        assert 0 < metrics.mfu < 1.5
        assert 0 < metrics.mbu_useful <= 1.01 * metrics.mbu_moved, "from a cache, perhaps above 1"
        assert metrics.joules_per_unit is None
        assert metrics.reason


@pytest.mark.parametrize("scenario", REQUESTS)
def test_requests_have_their_latencies_and_phases(measured, scenario):
    for record in measured[scenario][1]:
        (workload,) = record.workloads
        metrics = workload.metrics
        assert spread(metrics.ttft_s)
        assert spread(metrics.tpot_s)
        assert spread(metrics.itl_s)
        assert min(metrics.prefill["tokens"], metrics.decode["tokens"]) > 0
        assert workload.config["slo_tpot_s"] is None


def test_decode_has_tokens_between_and_prefill_first_ones(measured):
    for scenario in ("decode", "single"):
        metrics = measured[scenario][1][0].workloads[0].metrics
        assert spread(metrics.tpot_s)
        assert metrics.ttft_s is None
    metrics = measured["prefill"][1][0].workloads[0].metrics
    assert spread(metrics.ttft_s)
    assert metrics.tpot_s is None
    assert metrics.prefill["tokens_per_s"] == pytest.approx(metrics.units_per_s.mid, rel=0.5)


def test_many_points_are_one_document_with_rates_in_out_and_total(measured):
    document, _ = measured["mixed"]
    assert document["schema"] == "joulemark/infer/1"
    assert document["scenario"] == "mixed"
    for point in document["points"]:
        rates = point["tokens_per_s"]
        mix = point["config"]["mix"]
        told = rates["outward"] * mix["in_tokens"] / mix["out_tokens"]
        assert rates["inward"] == pytest.approx(told)
        assert rates["total"] == pytest.approx(rates["inward"] + rates["outward"])
        assert point["metrics"]["mfu"] > 0
    assert [point["point"] for point in document["points"]] == ["fixed", "ragged"]


def test_one_point_is_its_record(measured):
    for scenario in ("serve", "decode", "single", "prefill", "frontier"):
        assert measured[scenario][0]["schema"] == "joulemark/run/1"

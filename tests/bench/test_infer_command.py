"""``bench infer`` on simulated cards: points, phases, marks, refusals; which options mean what."""

import json

import pytest

from bench.catalogue import load_gpu, load_model
from bench.cli import run
from bench.cli.points import MOST_POINTS, Given, Server, points_of, unused
from bench.cli.refusal import Refusal
from bench.predict.point import Asked
from bench.predict.priors import TPOT_MARGIN
from bench.predict.simulated import scale_of
from bench.report.infer import knee
from bench.store import load

SIM = ("infer", "--device", "sim:h100", "--grade", "quick", "--seed", "1")
MODEL = load_model("micro")


def names(scenario, *, cpu=False, server=None, **given):
    return list(points_of(scenario, Given(**given), MODEL, cpu=cpu, server=server).named)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three batches of a simulated card, the last of which does not fit it."""
    place = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        files = ["--json", place / "all.json", "--out", place / "results", "--csv", place / "t.csv"]
        status = run([*SIM, "--batch", "8,64,4096", *map(str, files)])
    return status, place, json.loads((place / "all.json").read_text())


@pytest.fixture(scope="module")
def record(swept):
    """The record of batch 64."""
    _, place, document = swept
    return load(place / "results" / document["points"][1]["record"])


# The whole way


def test_a_point_that_cannot_run_is_a_row_and_the_others_go_on(swept):
    status, _, document = swept
    assert [point["point"] for point in document["points"]] == ["b8", "b64", "b4096"]
    last = document["points"][-1]
    assert "549.8 GB of KV at batch 4096" in last["reason"] or "GB of KV" in last["reason"]
    assert last["metrics"] is None
    assert status == last["exit_status"] == 2
    assert [point["exit_status"] for point in document["points"][:2]] == [0, 0]


def test_serving_finds_back_what_the_card_knows_phases_too(record):
    (workload,) = record.workloads
    truth, metrics = record.device.truth, workload.metrics
    assert workload.name == "serve"
    assert set(truth) >= {"serve", "serve.prefill", "serve.decode"}
    assert metrics.units_per_s.mid == pytest.approx(truth["serve"].units_per_s, rel=0.01)
    absolute = metrics.joules_per_unit_absolute
    assert absolute.lo <= truth["serve"].joules_per_unit <= absolute.hi
    for phase in ("prefill", "decode"):
        found, known = getattr(metrics, phase), truth[f"serve.{phase}"]
        assert found["tokens_per_s"] == pytest.approx(known.units_per_s, rel=0.01)
        gain = metrics.joules_per_unit.mid / truth["serve"].joules_per_unit
        assert found["joules_per_token"]["mid"] == pytest.approx(
            known.joules_per_unit * gain, rel=0.02
        )
    assert metrics.phases_over_whole == pytest.approx(1.0, abs=0.02)


def test_latencies_of_requests_and_of_tokens_stand_apart(record):
    metrics = record.workloads[0].metrics
    truth = record.device.truth
    prefill_s = 1024 / truth["serve.prefill"].units_per_s
    assert metrics.ttft_s["p50"] == pytest.approx(prefill_s)
    assert metrics.tpot_s["p50"] == pytest.approx(64 / truth["serve"].units_per_s, rel=0.01)
    assert metrics.itl_s["p50"] == pytest.approx(64 / truth["serve.decode"].units_per_s)
    assert metrics.itl_s["p99"] == pytest.approx(metrics.itl_s["p50"] + prefill_s)


def test_rates_count_prompts_apart(swept):
    rates = swept[2]["points"][1]["tokens_per_s"]
    assert rates["inward"] == pytest.approx(rates["outward"])
    assert rates["total"] == pytest.approx(rates["inward"] + rates["outward"])
    assert rates["per_user"] == pytest.approx(rates["outward"] / 64, rel=0.01)


def test_every_record_of_a_sweep_verifies(swept, capsys):
    assert run(["verify", *map(str, (swept[1] / "results").glob("*.json"))]) == 0
    assert capsys.readouterr().out.count("verified: ") == 2


def test_one_point_is_a_run_as_of_bench_all_with_the_batch_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run([*SIM, "--slo-tpot", "30ms", "--out", str(tmp_path), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    (workload,) = document["workloads"]
    assert document["schema"] == "joulemark/run/1"
    batch, tpot_s = workload["config"]["batch"], workload["metrics"]["tpot_s"]["p50"]
    assert workload["config"]["slo_tpot_s"] == 0.03
    assert 1 < batch < 214
    assert TPOT_MARGIN * tpot_s <= 0.03 * 1.01
    assert "30 ms" in document["verdict"]["sentence"]


def test_the_dry_run_counts_the_phases(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run([*SIM, "--dry-run", "--json", "-", "--batch", "1,2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["points"] == ["b1", "b2"]
    parts = [step["part"] for step in plan["steps"] if step["name"] == "phase"]
    assert parts == ["prefill", "decode", "decode", "prefill", "prefill", "decode"]


# Points


def test_lists_are_swept_as_a_product():
    assert names("decode", batch="1,8", context="128,256") == [
        "b1 context 128", "b1 context 256", "b8 context 128", "b8 context 256",
    ]  # fmt: skip
    assert names("single", context="64") == ["bf16 b1 context 64"]
    assert names("mixed", cpu=True)[:3] == ["32/32 fixed", "32/32 ragged", "128/32 fixed"]


def test_arguments_are_those_of_the_workload():
    serve = points_of("serve", Given(slo_tpot="20ms"), MODEL, cpu=False, server=None)
    (inference,) = serve.named.values()
    assert inference.arguments == {
        "precision": "bf16", "batch": None, "prompt": 1024, "output": 1024, "slo_tpot_s": 0.02,
    }  # fmt: skip
    server = Server("http://127.0.0.1:1", "m", "T2", 2.5)
    (asked,) = points_of("endpoint", Given(batch="4"), None, cpu=True, server=server).named.values()
    assert asked.workload == "endpoint"
    assert asked.arguments["concurrency"] == 4
    assert (asked.arguments["load"], asked.arguments["rate_hz"]) == ("poisson", 2.5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch": "1,x"}, "--batch x: use whole numbers above 0"),
        ({"batch": "0"}, "--batch 0"),
        ({"batch": "2,2"}, "an entry is given twice"),
        ({"batch": "08,8"}, "--batch 08,8: an entry is given twice"),
        ({"batch": "1,,2"}, "--batch 1,,2: use whole numbers above 0"),
        ({"batch": "9" * 5000}, "use whole numbers above 0"),
        ({"batch": "16777217"}, "--batch 16777217: use at most 16777216"),
        ({"precision": "int8"}, "--precision int8: use one of fp32, bf16, fp8, int4"),
        ({"precision": "fp7"}, "--precision fp7: use one of fp32"),
        ({"slo_tpot": "0ms"}, "--slo-tpot 0ms: write it as 50ms or 0.05"),
        ({"batch": ",".join(map(str, range(1, MOST_POINTS + 2)))}, "65 points"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(given, words):
    with pytest.raises(Refusal, match=words) as refused:
        names("serve", **given)
    assert refused.value.status == 2


def test_what_a_scenario_does_not_depend_on_is_said():
    given = Given(context="1", slo_tpot="1", batch="2")
    assert unused("serve", given) == ["--context", "--slo-tpot"]
    assert unused("decode", Given(context="1")) == []
    assert unused("endpoint", given) == ["--context", "--slo-tpot"]


def test_a_server_that_is_not_there_is_said_in_a_line(tmp_path, monkeypatch, capsys):
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    asked = ["--device", "cpu", "--wait", "--endpoint", "http://127.0.0.1:1", "--precision", "bf16"]
    files = ["--out", str(tmp_path), "--json", "-"]
    assert run(["infer", *asked, "--grade", "quick", "--window", "1", *files]) == 4
    told = capsys.readouterr()
    assert json.loads(told.out)["validity"]["status"] == "incomplete"
    assert "--precision is not used: a server does not depend on it." in told.err
    assert "no server answers" in told.err
    assert "endpoint c8 1024/1024 on " in told.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model-id", "x"], "--model-id belongs to --endpoint URL"),
        (["--endpoint", "http://x", "--model", "8b"], "--model and --weights are the server's own"),
        (["--endpoint", "http://x", "--tier", "T9"], "--tier T9: use one of T0"),
        (["--endpoint", "http://x", "--scenario", "decode"], "--scenario: a server is sent"),
        (["--endpoint", "http://x"], "a simulated card serves nobody"),
        (["--weights", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--prompt", "131072"], "131072 + 1024 tokens exceed the 131072 that 8b can hold"),
    ],
)
def test_options_that_cannot_be_meant(options, words, tmp_path, capsys):
    assert run([*SIM, "--out", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err


# Marks and the simulated card


def test_the_knee_is_where_a_row_brings_less_than_half():
    assert knee({1: 100.0, 2: 190.0, 4: 350.0, 8: 500.0, 16: 550.0}) == 4
    assert knee({1: 100.0, 64: 6400.0}) is None
    assert knee({8: 100.0}) is None


def test_a_simulated_card_returns_its_stated_loads():
    gpu, model = load_gpu("h100"), load_model("8b")
    scale, loads = scale_of(gpu, model), gpu.simulation.loads
    point = loads["decode"].config
    step = scale.decode("bf16", point["batch"], point["context"]).truth(point["batch"])
    assert step.units_per_s == pytest.approx(loads["decode"].units_per_s.value)
    assert step.joules_per_unit * step.units_per_s == pytest.approx(loads["decode"].watts.value)
    fill = scale.prefill("bf16", 1024).truth(1024)
    assert fill.units_per_s == pytest.approx(loads["prefill"].units_per_s.value)
    asked = Asked(model, "bf16", 1024, 1024, None, 0.03)
    rows = scale.rows_under(asked)
    tpot_s = [TPOT_MARGIN * scale.serve(asked, batch).step.seconds for batch in (rows, rows + 1)]
    assert tpot_s[0] <= 0.03 < tpot_s[1]

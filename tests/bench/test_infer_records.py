"""What other rooms make of runs of the token side alone, from a simulated card's records."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from bench.catalogue import load_gpu, load_model
from bench.cli import run
from bench.predict.measured import Refused, measured
from bench.predict.simulated import scale_of
from bench.records.run import Validity
from bench.report.energy_model import sheets, step_of
from bench.report.infer import PointRun
from bench.report.infer import sheet as points
from bench.report.summary import next_step
from bench.store import load
from bench.verdict.stack import stack_gaps

SIM = ("infer", "--device", "sim:h100", "--grade", "quick", "--seed", "1", "--window", "2")
SWEPT = ("--scenario", "serve", "--batch", "1,8,32", "--prompt", "256,4096", "--output", "64")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Six points of serving, some of them bound by bandwidth and some by arithmetic."""
    place = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        files = ["--json", place / "all.json", "--out", place / "results", "--csv", place / "t.csv"]
        assert run([*SIM, *SWEPT, *map(str, files)]) == 0
    document = json.loads((place / "all.json").read_text())
    runs = [
        PointRun(point["point"], load(place / "results" / point["record"]))
        for point in document["points"]
    ]
    return runs, (place / "t.csv").read_text()


@pytest.fixture(scope="module")
def record(swept):
    return swept[0][2].record


def as_engine(record, rate=1.5, joules=0.8, **mix):
    """The record as if an engine behind an endpoint had made its tokens."""
    (workload,) = record.workloads
    config = {**workload.config, "mix": {**workload.config["mix"], **mix}}
    figures = workload.metrics
    scaled = [
        replace(each, mid=each.mid * by, lo=each.lo * by, hi=each.hi * by)
        for each, by in ((figures.units_per_s, rate), (figures.joules_per_unit, joules))
    ]
    figures = replace(figures, units_per_s=scaled[0], joules_per_unit=scaled[1])
    engine = replace(workload, tier="T2", backend="endpoint", config=config, metrics=figures)
    return replace(record, run_id="engine", workloads=(engine,))


# The gap between an engine and our loop


def test_an_engine_stands_beside_the_loop_of_its_device_model_and_mix(record):
    (gap,) = stack_gaps([record, as_engine(record)])
    assert (gap.engine, gap.loop) == ("engine", record.run_id)
    assert (gap.rate, gap.joules) == (pytest.approx(1.5), pytest.approx(0.8))
    assert gap.engine_point.startswith("T2")
    assert gap.loop_point.startswith("T1")


def test_of_several_loops_the_fastest_is_beside_it(swept):
    runs, _ = swept
    short = [each.record for each in runs if each.record.workloads[0].config["prompt"] == 256]
    (gap,) = stack_gaps([*short, as_engine(short[0])])
    assert gap.loop == short[-1].run_id
    assert gap.rate < 1


@pytest.mark.parametrize("change", ["mix", "device", "model", "invalid", "alone"])
def test_what_is_not_alike_has_no_gap(record, change):
    engine = as_engine(record, in_tokens=1000) if change == "mix" else as_engine(record)
    if change == "device":
        engine = replace(engine, device=replace(engine.device, uuid="SIM-other"))
    if change == "model":
        other = replace(engine.profiles.model, model_id="another")
        engine = replace(engine, profiles=replace(engine.profiles, model=other))
    if change == "invalid":
        engine = replace(engine, validity=Validity("invalid", ()))
    assert stack_gaps([engine] if change == "alone" else [record, engine]) == []


# A card's table


def test_serving_says_of_its_card_what_each_phase_reached(record):
    gpu, model = load_gpu("h100"), load_model("8b")
    found = measured(record, gpu, decode_model=model)
    assert found.mark == "simulated"
    assert set(found.ratios) == {"prefill rate", "decode rate", "decode power"}
    assert (found.asked.batch, found.asked.prompt, found.asked.output) == (8, 256, 64)
    told = record.workloads[0].metrics.decode["tokens_per_s"]
    roof = scale_of(gpu, model)
    step = roof.decode("bf16", 8, found.asked.mean_context)
    assert told == pytest.approx(8 / step.seconds, rel=0.01)


def test_a_phase_faster_than_its_roofline_is_refused(record):
    (workload,) = record.workloads
    wrong = replace(workload.metrics, prefill={**workload.metrics.prefill, "tokens_per_s": 1e6})
    with pytest.raises(Refused, match="prompt tok/s is above"):
        measured(
            replace(record, workloads=(replace(workload, metrics=wrong),)),
            load_gpu("h100"),
            decode_model=load_model("8b"),
        )


# The table of the points


@pytest.mark.parametrize(("name", "shown"), [("serve", "out"), ("prefill", "in")])
def test_a_narrow_terminal_shows_the_tokens_that_were_counted(record, name, shown):
    (own,) = record.workloads
    one = replace(record, workloads=(replace(own, name=name),))
    columns = {column.key: column for column in points([PointRun("b8", one)], "").columns}
    assert [key for key in ("in", "out") if not columns[key].optional] == [shown]


# The energy model of a sweep


def test_a_sweep_finds_the_prices_that_the_card_was_made_with(swept):
    runs, table = swept
    (found,) = sheets(runs)
    truth = scale_of(load_gpu("h100"), load_model("8b"))
    rows = list(csv.reader(io.StringIO(table.partition("# Energy model")[2])))[1:8]
    assert [row[0] for row in rows] == ["point", *(each.name for each in runs)]
    assert "T1 bf16" in found.title
    gain = runs[0].record.workloads[0].metrics.joules_per_unit.mid
    gain /= runs[0].record.device.truth["serve"].joules_per_unit
    figures = re.findall(r"([\d.e+]+) (?:W|pJ) \(", found.notes[0])
    static, moved, flops = map(float, figures)
    assert static == pytest.approx(gain * truth.idle_w, rel=0.1)
    assert moved == pytest.approx(gain * 1e12 * truth.j_per_byte, rel=0.2)
    assert flops == pytest.approx(gain * 1e12 * truth.j_per_flop, rel=0.1)


def test_five_runs_or_assumed_joules_give_no_model(swept):
    runs, _ = swept
    assert list(sheets(runs[:5])) == []
    record = runs[0].record
    (workload,) = record.workloads
    for change in ({"joules_source": "assumed"}, {"roofs": None}, {"joules_per_unit": None}):
        figures = replace(workload.metrics, **change)
        told = replace(record, workloads=(replace(workload, metrics=figures),))
        assert step_of(PointRun("x", told)) is None


# What to run next


def on_card(record, **workload):
    """The record as if a real card had made it, its token workload changed."""
    (own,) = record.workloads
    card = replace(record.device, kind="gpu", index=1)
    return replace(record, device=card, workloads=(replace(own, **workload),))


def test_what_to_run_next_is_the_same_point_once_more(record):
    assert next_step(record) == "bench infer, on a real device"
    assert next_step(on_card(record)) == (
        "bench infer --gpu 1 --scenario serve --model 8b --batch 8 --precision bf16 --prompt 256"
        " --output 64 --grade standard, for figures that may be ranked"
    )
    ranked = on_card(replace(record, plan=replace(record.plan, grade="standard")))
    assert next_step(ranked) == "bench all --gpu 1, which weighs hashes against tokens"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"slo_tpot_s": 0.03}, " --slo-tpot 30ms "),
        ({"weights": "/data/my model"}, " --weights '/data/my model' "),
        ({"mix": {"kind": "ragged"}}, " --scenario mixed "),
    ],
)
def test_the_point_is_named_as_it_was_asked_for(record, config, words):
    (own,) = record.workloads
    told = next_step(on_card(record, config={**own.config, **config}))
    assert words in told
    assert ("--batch" in told) == ("slo_tpot_s" not in config)
    assert ("--model" in told) == ("weights" not in config)


def test_an_engine_is_asked_again_at_its_address(record):
    config = {"url": "http://127.0.0.1:8000", "model": "8b", "concurrency": 4, "rate_hz": None,
              "prompt": 64, "output": 32}  # fmt: skip
    assert next_step(on_card(record, backend="endpoint", config=config)).startswith(
        "bench infer --gpu 1 --endpoint http://127.0.0.1:8000 --model-id 8b --batch 4 --prompt 64"
        " --output 32 --grade standard"
    )

"""``bench data-power``: once on the CPU, the rest on runs that stand for runs. About 15 s."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.cli import data_powering, run
from bench.cli.data_powering import there_and_back
from bench.cli.session import Measured
from bench.kernels.decoder.config import KINDS
from bench.plan import GRADES
from bench.records.run import Estimate, Validity
from bench.report.data_power import Kind, ratio, sheet, together
from bench.store import StoreError, load

CPU = ("data-power", "--device", "cpu", "--model", "tiny", "--grade", "quick", "--seed", "1")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Zeros on the CPU under assumed watts: the folder of its two records."""
    place = tmp_path_factory.mktemp("data")
    short = replace(GRADES["quick"], warmup_s=0.2, settle_s=0.1, idle_s=0.2, idle_settle_s=0.1)
    asked = [*CPU, "--assume-watts", "40", "--window", "1.2", "--batch", "2", "--context", "16"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRADES, "quick", short)
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        assert run([*asked, "--data", "zeros", "--out", str(place / "results")]) == 0
    return place / "results"


@pytest.fixture(scope="module")
def record(measured):
    """One of its records."""
    return load(min(measured.glob("*.json")))


@pytest.fixture
def standing(monkeypatch, tmp_path, record):
    """Sessions that stand for runs: zeros as measured, others at twice its joules; the second
    meets a full disk where ``full`` was asked for.
    """

    def stand(*, full=False):
        seen = []

        class Standing:
            def __init__(self, _request, _console, target, *_, **__):
                self.kind = target.inference.arguments["init"]

            def measured(self):
                seen.append(self.kind)
                if full and len(seen) == 2:
                    raise StoreError("the disk is full")
                made = record if self.kind == "zeros" else dearer(record)
                return Measured(made, tmp_path / f"{len(seen)}.json", ENDED)

        monkeypatch.setattr(data_powering, "Session", Standing)
        return seen

    return stand


ENDED = SimpleNamespace(interrupted=None, failures={})


def dearer(record):
    (workload,) = record.workloads
    joules = workload.metrics.joules_per_unit
    twice = Estimate(2 * joules.mid, 2 * joules.lo, 2 * joules.hi, joules.n)
    changed = replace(workload, metrics=replace(workload.metrics, joules_per_unit=twice))
    return replace(record, workloads=(changed,))


def test_a_kind_is_an_ordinary_run_of_decoding_alone(measured):
    records = [load(path) for path in measured.glob("*.json")]
    assert len(records) == 2, "there and back"
    for each in records:
        (workload,) = each.workloads
        point = {"precision": "bf16", "batch": 2, "context": 16, "model": "tiny"}
        assert point.items() <= workload.config.items()
        assert workload.config["rung"] == {"bytes_per_weight": 2}
        assert workload.data_profile["init"] == "zeros"
        assert workload.data_profile["toggles"] == workload.data_profile["logit_std"] == 0
        assert workload.verified.passed
        assert workload.metrics.watts.mid == pytest.approx(40)
        assert each.validity.status == "labelled"
        assert any(code.name == "DEGENERATE_DATA" for code in each.validity.codes)
    assert run(["verify", *map(str, measured.glob("*.json"))]) == 0


def test_the_json_and_the_table_say_the_same(standing, tmp_path, record):
    seen = standing()
    files = {"--json": tmp_path / "d.json", "--csv": tmp_path / "d.csv"}
    words = [str(word) for pair in files.items() for word in pair]
    assert run([*CPU, "--data", "zeros,fan-in", *words]) == 0
    assert seen == ["zeros", "fan-in", "fan-in", "zeros"]
    document = json.loads((tmp_path / "d.json").read_text())
    assert document["schema"] == "joulemark/data-power/1"
    assert (document["model"], document["precision"]) == ("tiny", "bf16")
    zeros, fan_in = document["data"]
    assert (zeros["kind"], fan_in["kind"]) == ("zeros", "fan-in")
    assert zeros["ratio_to_fan_in"]["mid"] == pytest.approx(0.5)
    assert fan_in["ratio_to_fan_in"]["mid"] == 1
    joules = record.workloads[0].metrics.joules_per_unit
    assert zeros["joules_per_token"]["mid"] == pytest.approx(joules.mid)
    assert [each["record"] for each in zeros["runs"]] == ["1.json", "4.json"]
    lines = (tmp_path / "d.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [next(iter(row.values())) for row in rows] == ["zeros", "fan-in"]
    assert float(rows[0]["of fan-in"]) == pytest.approx(0.5)
    assert rows[0]["runs"] == "labelled"


def test_a_dry_run_plans_all_kinds_and_measures_none(tmp_path, capsys):
    asked = ["data-power", "--device", "cpu", "--dry-run", "--out", str(tmp_path / "r")]
    assert run([*asked, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"] == list(there_and_back((*KINDS, "real"))), "micro comes with weights"
    each = sum(step["seconds"] + step["settle_s"] for step in document["steps"])
    assert document["seconds"] >= 12 * each
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--device", "sim:h100"), "simulated power knows nothing of data"),
        (("--data", "ones"), "--data ones: use some of zeros, uniform01"),
        (("--data", "zeros,zeros"), "--data zeros: is given twice"),
        (("--data", "real", "--model", "tiny"), "--data real: tiny comes without weights"),
        (("--precision", "int8"), "--precision int8: use fp32, bf16, fp8, int4"),
        (("--batch", "0"), "--batch 0: use 1 to"),
        (("--context", "-1"), "--context -1: use 1 to"),
    ],
)
def test_what_cannot_be_meant_is_one_line(capsys, tmp_path, arguments, says):
    device = () if "--device" in arguments else ("--device", "cpu")
    assert run(["data-power", *device, *arguments, "--out", str(tmp_path / "r")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert not (tmp_path / "r").exists()


def test_a_full_disk_leaves_what_was_measured(standing, tmp_path, capsys):
    seen = standing(full=True)
    found = tmp_path / "d.json"
    assert run([*CPU, "--data", "zeros,fan-in", "--json", str(found)]) == 7
    assert seen == ["zeros", "fan-in"]
    document = json.loads(found.read_text())
    assert [each["kind"] for each in document["data"]] == ["zeros"]
    assert document["data"][0]["ratio_to_fan_in"] is None
    out, err = capsys.readouterr()
    assert "No ratio: no joules of fan-in weights are known." in out
    assert err == "bench: the disk is full\n"


# Figures


def test_runs_together_by_hand():
    a, b = Estimate(10, 9, 11, 4), Estimate(13, 12.5, 13.5, 4)
    assert together([a, None, b]) == Estimate(11.5, 9, 13.5, 8)
    assert together([a]) == a
    assert together([None]) is None


def test_a_ratio_by_hand():
    """10 ± 3 % over 20 ± 4 % is 0.5 ± 5 %."""
    share = ratio(Estimate(10, 9.7, 10.3, 4), Estimate(20, 19.2, 20.8, 6))
    assert (share.mid, share.n) == (0.5, 4)
    assert share.hi - share.mid == pytest.approx(0.025)
    assert ratio(None, share) is None
    assert ratio(share, Estimate(0, 0, 0, 2)) is None


def test_a_run_that_may_not_be_trusted_keeps_its_row_without_figures(record):
    broken = replace(record, validity=Validity("invalid", ()))
    table = sheet([Kind("normal", (broken, broken)), Kind("fan-in", (record, record))], "tiny")
    rows = [dict(zip([c.key for c in table.columns], row, strict=True)) for row in table.rows]
    assert rows[0]["run"] == "invalid"
    assert rows[0]["joules_per_token"] is rows[0]["ratio"] is rows[0]["watts"] is None
    assert rows[1]["ratio"] == 1
    assert rows[1]["joules_per_token"] > 0

"""``bench hash`` on a simulated card and once on the CPU; which kernel is best, and remembered.

About 20 s, most of it the one run on the CPU.
"""

import csv
import json
from dataclasses import replace

import pytest

from bench.catalogue import load_gpu
from bench.cli import hashing, kernels, run
from bench.cli.audited import nearest, shipped
from bench.measure import Interrupted
from bench.plan import GRADES
from bench.records.run import Check, Estimate, Validity
from bench.report.hash import KernelRun, run_line, sheet
from bench.report.summary import next_step
from bench.roofline import HashCounts, hash_ceiling
from bench.stats import Best, best_of
from bench.store import StoreError, load, remembered_kernel
from bench.workers import SimulatedWorker

SIM = ("hash", "--device", "sim:h100", "--grade", "quick", "--seed", "1")


@pytest.fixture(scope="module")
def hashed(tmp_path_factory):
    """A quick hash run of a simulated card: its folder, its record in record.json."""
    place = tmp_path_factory.mktemp("hashed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        files = ["--json", place / "record.json", "--out", place / "results"]
        assert run([*SIM, *map(str, files)]) == 0
    return place


@pytest.fixture(scope="module")
def record(hashed):
    """That record."""
    (path,) = (hashed / "results").glob("*.json")
    return load(path)


@pytest.fixture
def three(monkeypatch):
    """A simulated card that runs three kernels."""
    names = ("cupy:fast", "cupy:plain", "cupy:odd")
    monkeypatch.setattr(kernels, "runnable", lambda _target: names)
    return names


# The whole way


def test_hashing_alone_is_an_ordinary_run_that_verifies(hashed, record, capsys):
    assert [w.name for w in record.workloads] == ["sha256d"]
    assert record.plan.model is record.profiles.model is None
    assert {step.workload for step in record.plan.steps} == {"sha256d", None}
    assert {code.name for code in record.validity.codes} == {"SIMULATED", "UNRANKED"}
    (workload,) = record.workloads
    truth = record.device.truth["sha256d"]
    assert workload.metrics.units_per_s.mid == pytest.approx(truth.units_per_s, rel=0.01)
    absolute = workload.metrics.joules_per_unit_absolute
    assert absolute.lo <= truth.joules_per_unit <= absolute.hi
    document = json.loads((hashed / "record.json").read_text())
    assert document["run_id"] == record.run_id
    (path,) = (hashed / "results").glob("*.json")
    assert run(["verify", str(path)]) == 0
    assert "verified: " in capsys.readouterr().out


def test_the_share_is_of_the_audited_ceiling_at_the_sampled_clock(record):
    (workload,) = record.workloads
    row = nearest(shipped(), "cupy:plain", "9.0")
    gpu = load_gpu("h100")
    most = hash_ceiling(
        HashCounts(row.instructions, row.alu, row.fma_slots), gpu.sm.value, gpu.boost_hz.value
    )
    share = workload.metrics.units_per_s.mid / most
    assert workload.metrics.roofline_fraction == pytest.approx(share, rel=1e-9)
    assert 0.9 < share < 1.0
    assert workload.config["limit"]["alu"] == row.alu


def test_a_tampered_share_is_found(hashed, record, tmp_path, capsys):
    (path,) = (hashed / "results").glob("*.json")
    other = tmp_path / path.name
    share = record.workloads[0].metrics.roofline_fraction
    other.write_text(path.read_text().replace(repr(share), repr(share + 0.01)))
    (journal,) = (hashed / "results").glob("*.gz")
    (tmp_path / journal.name).write_bytes(journal.read_bytes())
    assert run(["verify", str(other)]) == 8
    assert "workloads[0].metrics.roofline_fraction" in capsys.readouterr().out


def test_a_standard_run_goes_through_the_whole_protocol(tmp_path, capsys):
    asked = ["hash", "--device", "sim:h100", "--seed", "2", "--out", str(tmp_path)]
    assert run([*asked, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["validity"]["status"] == "labelled"
    assert {step["name"] for step in document["plan"]["steps"]} == {
        "prepare", "verify", "calibrate", "idle", "warmup", "steady", "observer", "block",
    }  # fmt: skip
    assert len(document["workloads"][0]["windows"]) == 10


def test_all_kernels_stand_side_by_side(three, tmp_path, capsys):
    files = {"--json": tmp_path / "all.json", "--csv": tmp_path / "t.csv"}
    options = [str(word) for pair in files.items() for word in pair]
    assert run([*SIM, "--kernel", "all", "--out", str(tmp_path / "r"), *options]) == 0
    document = json.loads(files["--json"].read_text())
    assert document["schema"] == "joulemark/hash/1"
    assert [each["kernel"] for each in document["kernels"]] == list(three)
    assert len({each["run_id"] for each in document["kernels"]}) == 3
    assert len(list((tmp_path / "r").glob("*.json"))) == 3
    best = document["fastest"]
    assert {best["name"], *best["alike"]} == set(three), "they are the same simulated kernel"
    lines = files["--csv"].read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [row["kernel"] for row in rows] == list(three)
    out = capsys.readouterr().out
    assert out.count("(boundary: board)") == 1
    assert "not to be told from" in out
    assert "Not remembered as this device's default: not by its own joules." in out
    assert remembered_kernel("SIM-h100") is None


def test_a_kernel_that_fails_does_not_stop_the_others(three, tmp_path, capsys, monkeypatch):
    seen = []

    def verify(worker):
        seen.append(worker)
        return [Check("exact-ranges", len(seen) != 2, "lists unlike hashlib's")]

    monkeypatch.setattr(SimulatedWorker, "verify", verify)
    found = tmp_path / "all.json"
    assert run([*SIM, "--kernel", "all", "--out", str(tmp_path), "--json", str(found)]) == 9
    document = json.loads(found.read_text())
    assert [each["exit_status"] for each in document["kernels"]] == [0, 9, 0]
    assert "HASH_MISSING_WORK" in document["kernels"][1]["codes"]
    assert three[1] not in (document["fastest"]["name"], *document["fastest"]["alike"])
    out = capsys.readouterr().out
    assert f"{three[1]}: nothing was measured; the run is invalid" in out
    assert "FATAL HASH_MISSING_WORK: sha256d: exact-ranges" in out


@pytest.mark.parametrize(
    ("trouble", "status", "says"),
    [(Interrupted(2), 130, None), (StoreError("the disk is full"), 7, "the disk is full")],
)
@pytest.mark.usefixtures("three")
def test_what_ends_it_early_leaves_what_was_measured(  # noqa: PLR0917 - fixtures and a row
    tmp_path, capsys, monkeypatch, trouble, status, says
):
    whole, seen = hashing.Session.measured, []

    def measured(session):
        seen.append(session)
        if len(seen) == 2:
            raise trouble
        return whole(session)

    monkeypatch.setattr(hashing.Session, "measured", measured)
    found = tmp_path / "all.json"
    asked = [*SIM, "--kernel", "all", "--out", str(tmp_path), "--json", str(found)]
    assert run(asked) == status
    document = json.loads(found.read_text())
    assert [each["kernel"] for each in document["kernels"]] == ["cupy:fast"]
    assert document["interrupted"] == (says is None)
    out, err = capsys.readouterr()
    assert "SHA-256d kernels on sim:h100" in out
    assert err == ("" if says is None else f"bench: {says}\n")


def test_the_thriftiest_is_remembered_by_its_own_joules_at_a_ranked_grade(
    three, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(hashing, "OWN_JOULES", ("simulated",))
    monkeypatch.setattr(kernels, "runnable", lambda _target: three[:2])
    asked = ["hash", "--device", "sim:h100", "--seed", "1", "--kernel", "all"]
    assert run([*asked, "--grade", "quick", "--out", str(tmp_path)]) == 0
    assert "default: a quick look." in capsys.readouterr().out
    assert remembered_kernel("SIM-h100") is None
    assert run([*asked, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert remembered_kernel("SIM-h100") in three
    assert f"bench all and bench hash now use {remembered_kernel('SIM-h100')} here." in out


def test_a_plan_of_all_kernels_measures_nothing(three, tmp_path, capsys):
    out = tmp_path / "results"
    asked = [*SIM, "--dry-run", "--json", "-", "--out", str(out)]
    assert run([*asked, "--kernel", "all"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert every["kernels"] == list(three)
    assert run(asked) == 0
    one = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in one["steps"]] == [step["name"] for step in every["steps"]]
    assert {step["workload"] for step in one["steps"]} == {"sha256d", None}
    assert every["seconds"] == len(three) * one["seconds"], "virtual time passes in none of them"
    assert every["kwh"] is one["kwh"] is None
    assert not out.exists()


def test_a_processors_kernel_by_name_is_run_and_recorded(tmp_path, monkeypatch, capsys):
    quick = replace(GRADES["quick"], warmup_s=0.2, settle_s=0.1, idle_s=0.2, idle_settle_s=0.1)
    monkeypatch.setitem(GRADES, "quick", quick)
    asked = ["hash", "--device", "cpu", "--kernel", "numba-cpu:portable", "--grade", "quick"]
    more = ["--window", "1.2", "--meter", "none", "--json", "-", "--out", str(tmp_path)]
    assert run([*asked, *more]) == 0
    said = capsys.readouterr()
    (workload,) = json.loads(said.out)["workloads"]
    assert (workload["backend"], workload["config"]["variant"]) == ("numba-cpu", "portable")
    assert workload["verified"]["passed"]
    assert workload["metrics"]["units_per_s"]["mid"] > 1e4
    assert workload["metrics"]["roofline_fraction"] is None
    assert "No limit: the machine code of CPU kernels is not audited." in said.err
    (path,) = tmp_path.glob("*.json")
    assert run(["verify", str(path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--kernel", "avx2"), 2, "--kernel avx2: sim:h100 runs cupy:plain"),
        (("--kernel", "cupy:fast"), 2, "sim:h100 runs cupy:plain"),
        (("--kernel", ""), 2, "sim:h100 runs cupy:plain"),
        (("--device", "cpu", "--kernel", "cupy"), 2, "numba-cpu:portable"),
        (("--csv", "/nowhere/t.csv"), 7, "--csv /nowhere/t.csv"),
        (("--window", "nan"), 2, "--window"),
    ],
)
def test_what_cannot_be_meant_is_one_line(capsys, tmp_path, arguments, status, says):
    assert run([*SIM, *arguments, "--out", str(tmp_path / "results")]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert not (tmp_path / "results").exists()


# Which is best


def around(mid, half):
    return Estimate(mid, mid - half, mid + half, 10)


def test_the_best_and_what_is_like_it():
    found = {"a": around(10, 1), "b": around(11, 1), "c": around(20, 1), "d": around(18, 1)}
    assert best_of(found, least=True) == Best("a", ("b",))
    assert best_of(found, least=False) == Best("c", ("d",))
    assert best_of({}, least=True) is None


@pytest.fixture
def rivals(record):
    """The fastest is not the thriftiest; the best of all is in a run not to be trusted."""

    def rival(kernel, rate, joules, status="labelled"):
        (workload,) = record.workloads
        known = None if joules is None else around(joules, joules / 100)
        figures = replace(
            workload.metrics, units_per_s=around(rate, rate / 100), joules_per_unit=known
        )
        changed = replace(
            record,
            workloads=(replace(workload, metrics=figures),),
            validity=Validity(status, ()),
        )
        return KernelRun(kernel, changed, None)

    return [
        rival("cupy:balanced", 10e9, 70e-9),
        rival("cupy:plain", 7e9, 60e-9),
        rival("cupy:odd", 99e9, 1e-9, "invalid"),
        rival("numba-cuda:plain", 6e9, None),
    ]


def test_what_to_run_next_is_about_hashing(record):
    """Of a run of the hash side alone; only a full one is told of the comparison with tokens."""
    known = next_step(record)
    assert known == "bench hash, on a real device"
    card = replace(record.device, kind="gpu", index=1)
    quick = replace(record, device=card)
    assert next_step(quick) == "bench hash --gpu 1 --grade standard, for figures that may be ranked"
    ranked = replace(quick, plan=replace(record.plan, grade="standard"))
    assert next_step(ranked) == "bench all --gpu 1, which weighs hashes against tokens"
    cut = replace(ranked, validity=Validity("incomplete", ()))
    assert next_step(cut) == "bench hash --gpu 1, to the end"
    serve = replace(ranked.plan.steps[0], workload="serve")
    both = replace(ranked, plan=replace(ranked.plan, steps=(*ranked.plan.steps, serve)))
    assert next_step(both).startswith("bench all --gpu 1 --set")


def test_fastest_and_thriftiest_may_differ(rivals):
    fastest, thriftiest = hashing.rank(rivals)
    assert (fastest, thriftiest) == (Best("cupy:balanced", ()), Best("cupy:plain", ()))
    notes = sheet(rivals, fastest, thriftiest).notes
    assert notes[0] == "Fastest: cupy:balanced, 10.0 GH/s ± 1.0 %."
    assert notes[1] == "Thriftiest: cupy:plain, 60.0 nJ/hash ± 1.0 %."


def test_what_nobody_knows_is_said(rivals):
    nothing = [replace(run, record=replace(run.record, workloads=())) for run in rivals]
    assert hashing.rank(nothing) == (None, None)
    table = sheet(nothing, None, None)
    assert table.notes[0].startswith("Fastest: unknown")
    assert table.notes[1].startswith("Thriftiest: unknown")
    assert all(row[1:-1] == (None,) * 7 for row in table.rows)
    assert run_line(nothing[0]) == "cupy:balanced: nothing was measured; the run is labelled"

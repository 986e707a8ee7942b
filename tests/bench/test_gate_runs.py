"""``bench gate RUN.json`` from files to exit status, on simulated cards and copies. About 6 s."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli import run
from bench.store import load


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Quick runs of one simulated card, twice the same."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, more in {"base": [], "same": ["--seed", "9"]}.items():
        path = folder / f"{name}.json"
        asked = ["--device", "sim:h100", "--grade", "quick", "--out", str(folder / name)]
        assert run(["all", *asked, "--json", str(path), *more]) == 0
        made[name] = path
    return made


@pytest.fixture(autouse=True)
def no_summary(monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def gate(runs, capsys):
    """(exit status, findings, stderr) of one run against another."""

    def gate(head, *arguments, against="base"):
        files = [str(runs.get(head, head)), "--baseline", str(runs.get(against, against))]
        capsys.readouterr()
        status = run(["gate", *files, "--json", "-", *arguments])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return gate


def edited(runs, tmp_path, name, change):
    """A copy of the second run with something changed in its JSON."""
    document = json.loads(runs["same"].read_text())
    change(document)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def slower(share):
    """All blocks of the hash side take longer, and so more joules."""

    def change(document):
        hashing = document["workloads"][0]
        for window in hashing["windows"]:
            window["units"] *= 1 - share

    return change


def test_the_same_card_twice_is_ok(gate):
    status, found, err = gate("same")
    assert status == found["exit_status"] == 0
    assert [each["verdict"] for each in found["figures"]] == ["ok"] * 4
    assert found["max_regress"] == 0.03
    assert all(0.03 < each["finds"] < 0.05 for each in found["figures"])
    assert "ok: 4 figures" in err


def test_a_loss_of_six_percent_is_a_regression_at_five_and_ok_at_ten(gate, runs, tmp_path):
    worse = edited(runs, tmp_path, "worse", slower(0.06))
    status, found, err = gate(worse, "--max-regress", "5%")
    assert status == 10
    verdicts = {(e["workload"], e["metric"]): e["verdict"] for e in found["figures"]}
    assert verdicts == {
        ("sha256d", "units_per_s"): "regression",
        ("sha256d", "joules_per_unit"): "regression",
        ("serve", "units_per_s"): "ok",
        ("serve", "joules_per_unit"): "ok",
    }
    assert re.search(r"regression: sha256d units_per_s -[56]\.\d", err)
    assert gate(worse, "--max-regress", "10")[0] == 0


def hotter(document):
    """The same work draws a fifth more."""
    for each in document["workloads"]:
        for window in each["windows"]:
            window["counter_j"] *= 1.2
            window["integral_j"] *= 1.2


def test_more_joules_at_the_same_rate_are_found(gate, runs, tmp_path):
    status, found, _ = gate(edited(runs, tmp_path, "hot", hotter))
    assert status == 10
    verdicts = {e["metric"]: e["verdict"] for e in found["figures"]}
    assert verdicts == {"units_per_s": "ok", "joules_per_unit": "regression"}


def test_noise_that_hides_the_loss_is_inconclusive(gate, runs, tmp_path):
    def noisy(document):
        slower(0.06)(document)
        for each in document["workloads"]:
            for number, window in enumerate(each["windows"]):
                window["units"] *= 1 + 0.15 * (-1) ** number

    status, found, err = gate(edited(runs, tmp_path, "noisy", noisy), "--max-regress", "5%")
    assert status == 12
    assert {each["verdict"] for each in found["figures"]} == {"inconclusive"}
    assert "the noise hides the limit: this noise finds a loss of" in err


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("power_limit_w", 350.0, "power limit 350 now, 700 before"),
        ("name", "sim:other", "device sim:other now, sim:h100 before"),
    ],
)
def test_another_card_or_limit_is_not_comparable(  # noqa: PLR0917 - fixtures and a row
    gate, runs, tmp_path, key, value, why
):
    other = edited(runs, tmp_path, key, lambda document: document["device"].update({key: value}))
    status, _, err = gate(other)
    assert status == 11
    assert why in err
    assert gate(other, "--any-device")[0] == 0


def test_what_a_run_finds_for_itself_keeps_nothing_apart(gate, runs, tmp_path):
    def tuned(document):
        found = {"launch_nonces": 17985, "seed": 3, "base_header_hex": "00", "share_bits": 15}
        document["workloads"][0]["config"].update(found)

    assert gate(edited(runs, tmp_path, "tuned", tuned))[0] == 0


def test_data_of_another_seed_are_the_same_data_and_those_of_another_kind_are_not(
    gate, runs, tmp_path
):
    def drawn(kind, seed, std):
        profile = {"init": kind, "seed": seed, "prompts": "random", "logit_std": std}
        return lambda document: document["workloads"][1].update(data_profile=profile)

    first = edited(runs, tmp_path, "first", drawn("fan-in", 1, 0.99))
    assert gate(edited(runs, tmp_path, "again", drawn("fan-in", 2, 0.98)), against=first)[0] == 0
    status, _, err = gate(edited(runs, tmp_path, "zeros", drawn("zeros", 1, 0.99)), against=first)
    assert status == 11
    assert "data init zeros now, fan-in before" in err


def test_another_batch_is_not_comparable_and_the_rest_still_judged(gate, runs, tmp_path):
    def smaller(document):
        document["workloads"][1]["config"]["batch"] = 8

    status, found, err = gate(edited(runs, tmp_path, "batch", smaller))
    assert status == 11
    assert [each["verdict"] for each in found["figures"]] == ["ok"] * 2 + ["not comparable"] * 2
    assert "serve units_per_s: batch 8 now, 2" in err


def test_the_first_run_becomes_the_baseline_and_nothing_is_written_over(gate, runs, tmp_path):
    new = tmp_path / "baseline.json"
    status, found, err = gate("base", against=new)
    assert status == found["exit_status"] == 0
    assert len(found["not_in_baseline"]) == 4
    assert "Saved" in err
    assert new.read_bytes() == runs["base"].read_bytes()
    assert load(new).run_id == load(runs["base"]).run_id
    assert [path.name for path in tmp_path.iterdir()] == ["baseline.json"]
    assert gate(edited(runs, tmp_path, "hot", hotter), against=new)[0] == 10
    assert new.read_bytes() == runs["base"].read_bytes()


def test_an_invalid_run_is_no_baseline_and_compares_with_nothing(gate, runs, tmp_path):
    def spoil(document):
        code = {"name": "THROTTLED", "text": "hot", "fatal": True}
        document["validity"] = {"status": "invalid", "codes": [code]}

    bad = edited(runs, tmp_path, "bad", spoil)
    status, _, err = gate(bad, against=tmp_path / "new.json")
    assert (status, (tmp_path / "new.json").exists()) == (9, False)
    assert "is no baseline: the run is invalid: THROTTLED" in err
    assert gate(bad)[0] == 11


def test_ci_is_told(gate, runs, tmp_path, monkeypatch):
    junit, markdown, step = (tmp_path / name for name in ("j.xml", "m.md", "step.md"))
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    worse = edited(runs, tmp_path, "worse", slower(0.2))
    assert gate(worse, "--junit", str(junit), "--markdown", str(markdown))[0] == 10
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert suite.find("testcase/failure").get("message").startswith("regression: sha256d")
    assert step.read_text() == f"before\n{markdown.read_text()}\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "step.md"))
    status, _, err = gate("same")
    assert status == 0
    assert "cannot write $GITHUB_STEP_SUMMARY" in err


ROUNDS = [0.001 * (1 + 0.002 * (number % 5)) for number in range(200)]


def benchmarks(tmp_path, name, rounds=ROUNDS, joules=None, **machine):
    """A file as pytest-benchmark writes it."""
    extra = {} if joules is None else {"joulemark": joules}
    info = {"system": "Linux", "machine": "x86_64", "python_version": "3.11.7", **machine}
    test = {
        "fullname": "test_x.py::test_y",
        "params": None,
        "extra_info": extra,
        "stats": {"iterations": 3, "data": rounds, "mean": 0.1},
    }
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({"machine_info": info, "benchmarks": [test], "version": "5.3"}))
    return path


def metered(*blocks):
    return {
        "schema": "joulemark/pytest/1", "joules_per_round": None, "watts": None, "reason": None,
        "blocks_j": blocks, "rounds": 5, "device": "card", "device_kind": "gpu",
        "power_limit_w": 300.0, "boundary": "board", "joules_source": "measured-counter",
        "meter": "nvml", "codes": [], "invalid": False,
    }  # fmt: skip


def test_files_of_pytest_benchmark_are_gated_too(gate, tmp_path):
    base = benchmarks(tmp_path, "a", joules=metered(1.0, 1.01, 0.99, 1.0))
    same = benchmarks(tmp_path, "b", joules=metered(1.01, 1.0, 1.0, 0.99))
    slow = benchmarks(tmp_path, "c", [1.3 * each for each in ROUNDS], metered(1.0, 1.01, 1.0, 1.0))
    assert gate(same, against=base)[0] == 0
    status, found, _ = gate(slow, against=base)
    assert status == 10
    assert [each["verdict"] for each in found["figures"]] == ["regression", "ok"]
    assert found["figures"][0]["blocks"] == [10, 10]


def test_files_of_pytest_benchmark_that_cannot_be_compared(gate, tmp_path):
    base = benchmarks(tmp_path, "a")
    other = benchmarks(tmp_path, "b", python_version="3.13.0")
    assert gate(other, against=base)[0] == 11
    assert gate(other, "--any-device", against=base)[0] == 0
    status, found, _ = gate(benchmarks(tmp_path, "c", None), against=base)
    assert status == 11
    assert "--benchmark-json" in found["figures"][0]["why"]
    assert gate("same", against=base)[0] == 11


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("x.json",), 2, "give --baseline FILE"),
        (("--audit", "x.json"), 2, "--audit does not go with a run"),
        (("--audit", "--confidence", "0.9"), 2, "--audit does not go with --confidence"),
        (("x.json", "--baseline", "b.json", "--max-regress", "0"), 2, "--max-regress 0: use"),
        (("x.json", "--baseline", "b.json", "--max-regress", "five"), 2, "--max-regress five"),
        (("x.json", "--baseline", "b.json", "--confidence", "0.5"), 2, "--confidence 0.5"),
        (("absent.json", "--baseline", "b.json"), 8, "absent.json"),
        (("x.json", "--baseline", "b.json"), 8, "x.json"),
        (("bad.json", "--baseline", "b.json"), 8, "bad.json: benchmarks.0.fullname"),
        (("good.json", "--baseline", "no/b.json"), 7, "--baseline no/b.json"),
        (("good.json", "--baseline", "x.json"), 8, "x.json"),
        (("good.json", "--baseline", "good.json", "--json", "good.json"), 2, "an input"),
    ],
)
def test_what_cannot_be_meant_is_one_line(  # noqa: PLR0917 - fixtures and a row
    capsys, tmp_path, monkeypatch, arguments, status, says
):
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_text("{}")
    Path("bad.json").write_text('{"machine_info": {}, "benchmarks": [{"stats": {}}]}')
    benchmarks(tmp_path, "good")
    assert run(["gate", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert not Path("b.json").exists()

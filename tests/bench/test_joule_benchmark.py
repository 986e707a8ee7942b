"""The fixture ``joule_benchmark``, in pytest runs of its own. About 6 s."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from bench.cli import run
from bench.joule_rounds import Asked, JouleBenchmark, line, measured
from bench.store.sides import load_side

TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_called(joule_benchmark, n):
    joule_benchmark.extra_info["mine"] = n
    assert joule_benchmark(sum, [n]) == n

def test_pedantic(joule_benchmark):
    assert joule_benchmark.pedantic(max, args=(1, 2), rounds=12, iterations=4) == 2

def test_with_setup(joule_benchmark):
    joule_benchmark.pedantic(sum, setup=lambda: (([1],), {}), rounds=3)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("import bench.joule_rounds as it\nit.LEAST_S = 0.02\n")
    return tmp_path


def pytest_in(folder, *arguments):
    """(exit status, what was printed) of a session that is no worker of this one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    own = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_session_notes_joules_that_the_gate_reads(folder, capsys):
    asked = ["--joule-cpu", "--joule-meter", "assumed:50", "--benchmark-max-time", "0.01"]
    status, said = pytest_in(folder, *asked, "--benchmark-json", "out.json")
    assert status == 0, said
    assert "joules per round" in said
    assert "test_it.py::test_pedantic: " in said
    tests = json.loads((folder / "out.json").read_text())["benchmarks"]
    notes = {test["name"]: test["extra_info"] for test in tests}
    assert notes["test_called[2]"]["mine"] == 2
    found = notes["test_pedantic"]["joulemark"]
    joules = found["joules_per_round"]
    assert 0 < joules["lo"] <= joules["mid"] <= joules["hi"] or joules["lo"] <= 0 < joules["mid"]
    assert len(found["blocks_j"]) == joules["n"] == 10
    assert found["rounds"] >= 12
    assert (found["joules_source"], found["codes"]) == ("assumed", ["ASSUMED_WATTS"])
    assert notes["test_with_setup"]["joulemark"]["joules_per_round"] is None
    assert "setup" in notes["test_with_setup"]["joulemark"]["reason"]
    side = load_side(folder / "out.json")
    assert sum(each.metric == "joules_per_unit" and bool(each.values) for each in side.gauges) == 3
    assert run(["gate", str(folder / "out.json"), "--baseline", str(folder / "base.json")]) == 0
    capsys.readouterr()


def test_without_pytest_benchmark_the_tests_are_skipped(folder):
    status, said = pytest_in(folder, "-p", "no:benchmark", "-rs")
    assert status == 0
    assert "4 skipped" in said
    assert "pip install pytest-benchmark" in said


def test_unused_it_costs_no_import_and_disabled_benchmarks_no_metering(folder):
    (folder / "test_it.py").write_text(
        "import sys\ndef test_light():\n"
        "    heavy = {'numpy', 'scipy', 'rich', 'typer', 'bench.metered', 'bench.joule_rounds'}\n"
        "    assert 'bench.pytest_plugin' in sys.modules and not heavy & set(sys.modules)\n"
    )
    (folder / "conftest.py").unlink()
    status, said = pytest_in(folder)
    assert status == 0, said
    (folder / "test_it.py").write_text(TESTS)
    status, said = pytest_in(folder, "--benchmark-disable", "-k", "called")
    assert status == 0, said
    assert "joules per round" not in said


def test_joules_of_a_round_are_over_its_iterations(monkeypatch):
    monkeypatch.setattr("bench.joule_rounds.LEAST_S", 0.0)
    calls = []
    asked = Asked(None, True, "assumed:50")
    found = measured(asked, lambda: calls.append(1), rounds=25, iterations=2)
    assert len(calls) == found.rounds
    assert found.rounds >= 25
    assert len(found.blocks_j) == 10
    assert found.watts.mid == pytest.approx(50)
    assert all(each > 0 for each in found.blocks_j)
    mean = sum(found.blocks_j) / 10
    assert found.joules_per_round.mid == pytest.approx(mean)


def test_a_single_round_has_the_instruments_own_interval(monkeypatch):
    monkeypatch.setattr("bench.joule_rounds.LEAST_S", 0.0)
    found = measured(Asked(None, True, "assumed:50"), lambda: None, rounds=1, iterations=1)
    assert found.joules_per_round.n == 1
    assert found.rounds >= 1


def test_without_an_instrument_joules_are_null_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.meters.rapl.ROOT", tmp_path)
    found = measured(Asked(None, True, "auto"), lambda: pytest.fail("not run"), 3, 1)
    assert found.joules_per_round is None
    assert "RAPL" in found.reason
    assert line("x", found).startswith("x: unknown: ")
    assert measured(Asked(None, True, "none"), lambda: None, 3, 1).reason


def test_it_is_the_benchmark_that_runs_the_function():
    """A benchmark that is disabled has no times, and then nothing is metered."""

    class Disabled:
        stats = None

        def __call__(self, function, *args, **kwargs):
            return function(*args, **kwargs)

    told = []
    fixture = JouleBenchmark(Disabled(), Asked(None, True, "auto"), told.append)
    assert fixture(max, 3, 4) == 4
    assert told == []
    assert asdict(measured(Asked(None, True, "none"), lambda: None, 3, 1))["blocks_j"] == ()

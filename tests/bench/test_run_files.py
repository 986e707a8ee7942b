"""What a run leaves for a CI system: Markdown and JUnit, of one run and of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli import kernels, run
from bench.records.record import RunRecord
from bench.records.run import Check, Verified
from bench.report.exports import to_markdown
from bench.report.junit import Case
from bench.report.run_cases import cases
from bench.report.summary import exported
from bench.store import load

QUICK = ("--device", "sim:h100", "--grade", "quick", "--seed", "1")


@pytest.fixture
def left(tmp_path: Path) -> Callable[..., tuple[int, ElementTree.Element, str]]:
    """Runs a command: its status, its suite of test cases, its Markdown."""

    def left(*words: str) -> tuple[int, ElementTree.Element, str]:
        junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
        files = ["--junit", str(junit), "--markdown", str(markdown), "--out", str(tmp_path / "r")]
        status = run([*words, *QUICK, *files])
        (suite,) = ElementTree.parse(junit).getroot()
        return status, suite, markdown.read_text()

    return left


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A quick run of a simulated card."""
    place = tmp_path_factory.mktemp("whole")
    assert run(["all", *QUICK, "--out", str(place)]) == 0
    (path,) = place.glob("*.json")
    return load(path)


def names(suite: ElementTree.Element) -> list[tuple[str | None, str | None]]:
    return [(case.get("classname"), case.get("name")) for case in suite]


def failed(found: list[Case]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(case.group, case.name): case.failures for case in found if case.failures}


def test_a_run_leaves_its_tables_codes_and_verdict_and_a_case_a_check(left) -> None:
    status, suite, markdown = left("all", "--require-energy")
    assert status == 0
    assert suite.get("name") == "bench all"
    assert suite.get("failures") == "0"
    assert names(suite) == [
        *(("sha256d", name) for name in ("verified", "rate", "joules")),
        *(("serve", name) for name in ("verified", "rate", "joules")),
        ("run", "validity"),
    ]
    assert "**Measured \\(boundary: board\\)**" in markdown
    assert "**Uses of a paid kWh" in markdown
    assert "- SIMULATED: " in markdown.replace("\\", "")
    assert "One paid kWh earns" in markdown


def test_what_ends_a_run_badly_fails_a_case(left) -> None:
    status, suite, markdown = left("all", "--sim-fault", "throttle")
    assert status == 9
    wrong = {(case.get("classname"), case.get("name")): case[0] for case in suite if len(case)}
    assert set(wrong) == {("sha256d", "rate"), ("serve", "rate"), ("run", "validity")}
    assert wrong["run", "validity"].get("message") == "the run is invalid"
    assert "THROTTLED: sha256d: heat or power brake" in (wrong["run", "validity"].text or "")
    assert "THROTTLED" in markdown


def test_stale_prices_fail_a_case_only_where_they_must_not_be(left) -> None:
    assert left("all")[1].get("failures") == "0"
    status, suite, _ = left("all", "--strict")
    assert status == 9
    (wrong,) = (case for case in suite if len(case))
    assert (wrong.get("classname"), wrong.get("name")) == ("run", "prices")


def test_several_kernels_are_cases_of_their_own(left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "runnable", lambda _target: ("cupy:fast", "cupy:plain"))
    status, suite, _ = left("hash", "--kernel", "all")
    assert status == 0
    assert names(suite) == [
        ("cupy:fast.sha256d", "verified"), ("cupy:fast.sha256d", "rate"),
        ("cupy:fast.run", "validity"),
        ("cupy:plain.sha256d", "verified"), ("cupy:plain.sha256d", "rate"),
        ("cupy:plain.run", "validity"),
    ]  # fmt: skip


def test_one_point_of_inference(left) -> None:
    status, suite, markdown = left("infer", "--batch", "8")
    assert status == 0
    assert ("run", "validity") in names(suite)
    assert markdown.startswith("**")


def test_a_failed_check_an_unknown_rate_and_a_workload_that_never_ran(record: RunRecord) -> None:
    hashes, tokens = record.workloads
    wrong = Verified(False, (Check("nist", True, "fine"), Check("ranges", False, "2 of 3 found")))
    lame = replace(tokens.metrics, units_per_s=None, joules_per_unit=None, reason="no block")
    spoilt = replace(
        record,
        workloads=(replace(hashes, verified=wrong), replace(tokens, metrics=lame)),
    )
    found = failed(list(cases(spoilt, require_energy=True, strict=False)))
    assert found == {
        ("sha256d", "verified"): ("ranges: 2 of 3 found",),
        ("serve", "rate"): ("no block",),
        ("serve", "joules"): ("no block",),
    }
    alone = replace(record, workloads=(hashes,))
    found = failed(list(cases(alone, require_energy=False, strict=False)))
    assert found == {("serve", "rate"): ("it was not measured",)}


def test_a_run_that_measured_nothing_still_says_why(record: RunRecord) -> None:
    empty = replace(record, workloads=(), verdict=replace(record.verdict, options=()))
    written = to_markdown(*exported(empty))
    assert written.startswith("**Measured")
    assert empty.verdict.sentence[:20] in written.replace("\\", "")


def test_one_file_for_two_options_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = str(tmp_path / "both")
    assert run(["all", *QUICK, "--junit", same, "--markdown", same]) == 2
    assert "--junit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

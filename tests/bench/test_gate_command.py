"""``bench gate --audit`` over counts that are made up: what passes, what does not, what is said."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.cli import gating, run
from bench.cli.audited import document, read_document
from bench.cli.gating import compare
from bench.records.audit import AuditRow
from bench.report.junit import Case, Suite, to_junit

PLAIN = AuditRow(
    "cupy:plain", "sm_90", "nvrtc 13.0", midstates=1, instructions=2450, alu=2200, fma_slots=250,
    memory=0, other=0, registers=40, stack_bytes=0, spill_bytes=0,
)  # fmt: skip
ROWS = (PLAIN, replace(PLAIN, architecture="sm_120"), replace(PLAIN, kernel="numba-cuda:plain"))


@pytest.fixture
def gate(monkeypatch, capsys, tmp_path):
    """Gates ``rows`` against a baseline of ROWS: (status, document, stderr)."""
    baseline = tmp_path / "baseline.json"
    baseline.write_text(document(ROWS))

    def gate(rows, *arguments, against=baseline):
        monkeypatch.setattr(gating, "audited", lambda *_: list(rows))
        given = [] if against is None else ["--baseline", str(against)]
        status = run(["gate", "--audit", "--json", "-", *given, *arguments])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return gate


def test_the_same_code_passes(gate):
    status, found, err = gate(ROWS)
    assert status == found["exit_status"] == 0
    assert found["changes"] == found["not_comparable"] == found["not_in_baseline"] == []
    assert "ok: 3 kernels, none beyond the baseline" in err


@pytest.mark.parametrize(
    ("change", "arguments", "status"),
    [
        ({"instructions": 2474}, (), 0),  # 0.98 %
        ({"instructions": 2475}, (), 10),  # 1.02 %
        ({"alu": 2223}, (), 10),
        ({"fma_slots": 253}, (), 10),
        ({"alu": 2223}, ("--max-regress", "2"), 0),
        ({"instructions": 2451}, ("--max-regress", "0"), 10),
        ({"registers": 41}, (), 10),
        ({"registers": 41}, ("--max-regress", "5"), 0),
        ({"spill_bytes": 4}, ("--max-regress", "100"), 10),
        ({"stack_bytes": 4}, (), 10),
        ({"memory": 1}, (), 10),
        ({"other": 1}, (), 10),
        ({"registers": 32, "instructions": 2400}, (), 0),
    ],
)
def test_what_may_grow_and_what_may_not(gate, change, arguments, status):
    found, said, err = gate((replace(PLAIN, **change), *ROWS[1:]), *arguments)
    assert found == status
    counter, after = next(iter(change.items()))
    first = said["changes"][0]
    assert (first["kernel"], first["architecture"]) == ("cupy:plain", "sm_90")
    assert {c["counter"]: c["after"] for c in said["changes"]} == change
    before = getattr(PLAIN, counter)
    line = f"regression: cupy:plain sm_90: {counter} {before} → {after}"
    assert (line in err) == (status == 10)


def test_another_compiler_is_not_comparable(gate):
    later = [replace(row, compiler="nvrtc 13.1", instructions=9999) for row in ROWS]
    status, found, err = gate(later)
    assert status == 11
    assert found["changes"] == []
    assert len(found["not_comparable"]) == 3
    assert (
        "not comparable: cupy:plain sm_90: the baseline was compiled by nvrtc 13.0, this by nvrtc"
        " 13.1 (and 2 more); install" in err
    )


def test_a_regression_counts_more_than_what_cannot_be_compared(gate):
    worse = replace(PLAIN, spill_bytes=8)
    assert gate((worse, replace(ROWS[1], compiler="nvrtc 13.1"), ROWS[2]))[0] == 10


def test_a_kernel_that_is_gone_or_counts_otherwise_is_not_comparable(gate):
    status, found, _ = gate(ROWS[:2])
    assert status == 11
    assert found["not_comparable"] == [
        "numba-cuda:plain sm_90 is in the baseline and was not counted here"
    ]
    assert gate((replace(PLAIN, midstates=2), *ROWS[1:]))[0] == 11


def test_a_new_kernel_is_no_failure(gate):
    status, found, err = gate((*ROWS, replace(PLAIN, kernel="cupy:new")))
    assert status == 0
    assert found["not_in_baseline"] == ["cupy:new sm_90"]
    assert "not in the baseline: cupy:new sm_90" in err


def test_the_first_run_writes_what_later_ones_compare_with(gate, tmp_path):
    new = tmp_path / "new.json"
    assert gate(ROWS, against=new)[0] == 0
    assert read_document(new.read_text()) == ROWS
    assert gate(ROWS, against=new)[0] == 0
    assert gate((replace(PLAIN, registers=41), *ROWS[1:]), against=new)[0] == 10
    assert read_document(new.read_text()) == ROWS, "a baseline is never written over"


def test_without_a_baseline_the_shipped_audit_is_it(gate, monkeypatch):
    monkeypatch.setattr(gating, "shipped", lambda: ROWS)
    assert gate((replace(PLAIN, registers=41), *ROWS[1:]), against=None)[0] == 10


def test_ci_is_told(gate, tmp_path):
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    worse = replace(PLAIN, registers=41, spill_bytes=8)
    asked = ["--junit", str(junit), "--markdown", str(markdown)]
    assert gate((worse, *ROWS[1:]), *asked)[0] == 10
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    (failure,) = suite.iter("failure")
    assert failure.text.splitlines() == [
        "cupy:plain sm_90: registers 40 → 41",
        "cupy:plain sm_90: spill_bytes 0 → 8",
    ]
    cells = [line for line in markdown.read_text().splitlines() if "registers" in line]
    assert any(line.startswith("| cupy:plain | sm") and "| 40 | 41 |" in line for line in cells)


def test_foreign_text_cannot_break_the_xml():
    evil = '<x a="1">&\x1b[31m\x00]]>\ud800￾'
    written = to_junit(Suite(evil, [Case(evil, evil, (evil,)), Case("fine", "fine")]))
    (bad, fine) = ElementTree.fromstring(written).iter("testcase")
    assert bad.get("name") == bad.find("failure").text
    assert bad.get("name").startswith('<x a="1">& [31m ]]>')
    assert fine.find("failure") is None


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "nothing to gate: give RUN.json"),
        (("--audit", "--max-regress", "-1"), 2, "--max-regress -1"),
        (("--audit", "--max-regress", "nan"), 2, "--max-regress nan"),
        (("--audit", "--baseline", "bad.json"), 8, "bad.json: is no audit"),
        (("--audit", "--baseline", "odd.json"), 8, "odd.json: "),
        (("--audit", "--baseline", "."), 8, "cannot read ."),
        (("--audit", "--baseline", "nowhere/b.json"), 7, "--baseline nowhere/b.json"),
        (("--audit", "--junit", "nowhere/j.xml"), 7, "--junit nowhere/j.xml"),
        (("--audit", "--baseline", "bad.json", "--json", "bad.json"), 2, "is an input too"),
        (("--audit", "--baseline", "bad.json", "--junit", "bad.json"), 2, "--junit bad.json"),
    ],
)
def test_what_cannot_be_meant_is_one_line(  # noqa: PLR0917 - fixtures and a row
    capsys, tmp_path, monkeypatch, arguments, status, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(gating, "audited", lambda *_: pytest.fail("nothing may be compiled"))
    assert run(["gate", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err


def test_comparison_is_by_kernel_and_architecture():
    found = compare(ROWS, ROWS[::-1], counts=0.0, resources=0.0)
    assert (found.changes, found.apart, found.fresh) == ((), (), ())
    assert [case.failures for case in found.cases] == [()] * 3

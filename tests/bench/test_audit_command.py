"""``bench audit`` over counts that are made up, and what ships. Seconds."""

import csv
import json

import pytest

from bench.catalogue import load_gpu
from bench.cli import audited, run
from bench.cli.audited import BadAudit, document, read_document, row_of, shipped
from bench.kernels.sha256d import audit
from bench.kernels.sha256d.audit import Audit, PerHash
from bench.kernels.sha256d.sass import Counts, UnreadableCodeError
from bench.kernels.sha256d.toolchain import CompileError, ToolMissingError

COUNTED = {("cupy", "plain"): (1, 2450, 2200, 250), ("cupy", "two"): (2, 5400, 2900, 2850)}


def made_up(target):
    """An audit of one target with the counts of COUNTED."""
    backend, variant, architecture = target
    midstates, instructions, alu, fma_slots = COUNTED[backend, variant]
    counts = Counts(
        instructions, alu, fma_slots, uniform=1, control=7, constant_loads=0, global_memory=1,
        shared_memory=2, local_memory=3, other=0, opcodes={"SHF": 1},
    )  # fmt: skip
    per_hash = PerHash(instructions / midstates, alu / midstates, fma_slots / midstates)
    return Audit(
        backend, variant, f"sm_{architecture}", "nvrtc 13.0", midstates, 40, 0, 0, counts, per_hash
    )


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled, in place of doing so."""
    seen = []
    known = [(backend, variant, each) for each in (80, 90) for backend, variant in COUNTED]
    monkeypatch.setattr(audit, "targets", lambda: known)
    monkeypatch.setattr(
        audit, "audit_all", lambda todo, **_: [seen.append(t) or made_up(t) for t in todo]
    )
    return seen


def test_the_document_holds_what_was_counted(compiled, capsys):
    assert run(["audit", "--json", "-"]) == 0
    text = capsys.readouterr().out
    rows = read_document(text)
    assert rows == tuple(row_of(made_up(target)) for target in compiled)
    two = next(row for row in rows if row.kernel == "cupy:two")
    assert (two.instructions, two.midstates, two.memory, two.capability) == (5400, 2, 6, 80)


@pytest.mark.usefixtures("compiled")
def test_the_ceiling_of_every_card_that_a_binary_runs_on(capsys):
    assert run(["audit", "--json", "-"]) == 0
    found = {card["card"]: card for card in json.loads(capsys.readouterr().out)["ceilings"]}
    gpu = load_gpu("h200")
    work = gpu.sm.value * 64 * gpu.boost_hz.value
    assert found["h200"]["hashes_per_s"] == pytest.approx(
        {"cupy:plain": work / 2200, "cupy:two": work / 1450}
    )
    assert "rtx4090" in found, "code for 8.0 runs on 8.9"
    assert not {"v100", "b200", "mi300x", "t4"} & set(found)


def test_only_what_is_asked_for_is_compiled(compiled, capsys):
    assert run(["audit", "--arch", "sm_90", "--kernel", "cupy:two"]) == 0
    assert compiled == [("cupy", "two", 90)]
    out = capsys.readouterr().out
    assert out.count("(boundary: board)") == 2
    assert "2,700" in out, "instructions per hash"
    assert run(["audit", "--arch", "80, sm_90", "--kernel", "cupy"]) == 0
    assert len(compiled) == 5


@pytest.mark.usefixtures("compiled")
def test_runs_are_held_against_their_ceiling(stored_run, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    table = tmp_path / "t.csv"
    asked = ["audit", str(stored_run), str(bad), "--json", "-", "--csv", str(table)]
    assert run(asked) == 8
    said = capsys.readouterr()
    (found,) = json.loads(said.out)["runs"]
    gpu = load_gpu("h100")
    ceiling = gpu.sm.value * 64 * gpu.boost_hz.value / 2200
    assert found["kernel"] == "cupy:plain"
    assert found["clock_hz"] == pytest.approx(gpu.boost_hz.value)
    assert found["ceiling_hz"] == pytest.approx(ceiling)
    assert found["share"] == pytest.approx(found["hashes_per_s"] / ceiling)
    assert found["reason"] is None
    assert "unreadable: " in said.err
    last = [line for line in csv.reader(table.read_text().splitlines()) if line][-1]
    assert float(last[6]) == pytest.approx(100 * found["share"])


@pytest.mark.usefixtures("compiled")
def test_a_run_without_a_journal_or_an_audit_says_so(stored_run, tmp_path, capsys):
    copy = tmp_path / stored_run.name
    copy.write_bytes(stored_run.read_bytes())
    assert run(["audit", str(copy), "--json", "-"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["share"] is None
    assert "journal" in found["reason"]
    assert run(["audit", str(stored_run), "--arch", "sm_80", "--json", "-"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["reason"] == "cupy:plain was not audited for sim:h100"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--arch", "sm_70"), 2, "--arch sm_70: 70 is none of sm_80, sm_90"),
        (("--arch", ""), 2, "nothing is none of"),
        (("--kernel", "cupy:fast"), 2, "use all or one of cupy:plain, cupy:two"),
        (("--csv", "/nowhere/t.csv"), 7, "--csv /nowhere/t.csv"),
        (("--json", "/nowhere/a.json"), 7, "--json /nowhere/a.json"),
    ],
)
def test_what_cannot_be_meant_is_one_line(compiled, capsys, arguments, status, says):
    assert run(["audit", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    assert compiled == []


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("command", [["audit"], ["gate", "--audit"]])
def test_a_missing_tool_is_named_with_its_cure(capsys, monkeypatch, command):
    def missing(_todo, **_):
        raise ToolMissingError("nvdisasm")

    monkeypatch.setattr(audit, "audit_all", missing)
    assert run(command) == 3
    err = capsys.readouterr().err
    assert err.startswith("bench: nvdisasm is not installed: pip install 'nvidia-cuda-nvdisasm")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (CompileError("error one\nerror two\n" * 100), 3, "the toolchain refused: error one error"),
        (UnreadableCodeError("the function has no loop"), 3, "the toolchain refused: the function"),
        (OSError(28, "No space left on device"), 7, "cannot keep what is compiled: No space left"),
    ],
)
def test_a_toolchain_that_fails_is_one_line(capsys, monkeypatch, error, status, says):
    def refuse(_todo, **_):
        raise error

    monkeypatch.setattr(audit, "audit_all", refuse)
    assert run(["audit"]) == status
    err = capsys.readouterr().err
    assert err.startswith(f"bench: {says}")
    assert err.count("\n") == 1


# The files


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "joulemark/audit/1"}', "nan", "[" * 9999]
)
def test_a_file_that_is_no_audit_is_told(text):
    with pytest.raises(BadAudit, match="is no audit"):
        read_document(text)


def test_a_row_that_makes_no_sense_is_told():
    row = row_of(made_up(("cupy", "plain", 90)))
    text = document([row])
    assert read_document(text) == (row,)
    for old, new in (("2450", "0"), ('"midstates": 1', '"midstates": "1"'), ("40", "40.5")):
        with pytest.raises(BadAudit):
            read_document(text.replace(old, new))
    with pytest.raises(BadAudit, match="twice"):
        read_document(document([row, row]))


def test_what_ships_covers_every_kernel_and_card():
    rows = shipped()
    kernels = {f"{backend}:{variant}" for backend, variant, _ in audit.targets((90,))}
    for architecture in ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"):
        assert {row.kernel for row in rows if row.architecture == architecture} == kernels
    assert not any(row.spill_bytes or row.memory or row.other for row in rows)
    assert document(rows) == (audited.files("bench.kernels.sha256d") / "audited.json").read_text()

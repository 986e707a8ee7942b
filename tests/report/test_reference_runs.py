"""The page of shipped runs holds records that verify, of real devices, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bench.cli import run
from bench.cli.reference_runs import main, page, told
from bench.cli.refusal import BAD_FILE, INVALID, Refusal
from bench.store import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a simulated card, beside its journal in a folder of its own."""
    place = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1"]
        assert run(["all", *said, "--out", str(place / "runs")]) == 0
    (record,) = (place / "runs").glob("*.json")
    return record


def test_the_committed_page_is_made_of_the_records_that_ship() -> None:
    """Derives every shipped record again, too."""
    committed = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    made = page(ROOT / "results" / "reference")
    assert committed == made, "python -m bench.cli.reference_runs > docs/reference.md"


def test_without_records_the_page_says_so(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "None yet." in text
    assert "|" not in text


def test_a_row_for_each_workload_with_its_origin(simulated: Path) -> None:
    record = load(simulated)
    text = told([record])
    rows = [line for line in text.splitlines() if record.run_id.replace("-", r"\-") in line]
    assert len(rows) == len(record.workloads) == 2
    for row, workload in zip(rows, record.workloads, strict=True):
        assert row.split(" | ")[2].startswith(workload.name)
        assert record.started_at[:10].replace("-", r"\-") in row
        assert "SIMULATED" in row
    assert text.count("boundary: board") == 1


@pytest.mark.parametrize(("kind", "said"), [("cpu", True), ("gpu", False)])
def test_that_no_card_is_among_them_is_said(
    simulated: Path, kind: Literal["cpu", "gpu"], *, said: bool
) -> None:
    record = load(simulated)
    text = told([replace(record, device=replace(record.device, kind=kind))])
    assert ("No graphics card is among them" in text) is said


def test_a_record_that_differs_from_its_journal_keeps_the_page_from_being_made(
    simulated: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(simulated.parent, tmp_path / "runs"))
    document = json.loads(simulated.read_text())
    document["workloads"][0]["metrics"]["watts"]["mid"] += 1e-3
    (copy / simulated.name).write_text(json.dumps(document))
    with pytest.raises(Refusal, match="different: bench verify") as refused:
        page(copy)
    assert refused.value.status == BAD_FILE


def test_a_simulated_card_is_no_reference(simulated: Path) -> None:
    with pytest.raises(Refusal, match="simulated") as refused:
        page(simulated.parent)
    assert refused.value.status == INVALID


def test_the_command_prints_the_committed_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_a_clone_without_the_folder_has_an_empty_page(tmp_path: Path) -> None:
    assert page(tmp_path / "none") == page(tmp_path)

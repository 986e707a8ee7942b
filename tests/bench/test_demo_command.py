"""The runs that ship: verified, compared, judged and reported by one command."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import run
from bench.cli.demonstrating import PAGE, ROOM, introduction, lay_out
from bench.cli.refusal import Refusal
from bench.cli.verifying import verify
from bench.store import in_folder, load

MOST_BYTES = 1_200_000
RECORDS = in_folder(ROOM)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What it says, and the folder that it fills."""
    place = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "bench", "demo", "--out", "laid out"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, place / "laid out"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_bundled_record_follows_from_its_journal(path):
    finding = verify(path)
    assert finding.error is None
    assert finding.differences == ()
    assert finding.facts > 100


def test_the_bundle_is_small_and_says_what_is_simulated():
    kinds = [load(path).device.kind for path in RECORDS]
    assert sorted(kinds) == ["cpu", "sim", "sim"]
    assert sum(path.stat().st_size for path in ROOM.iterdir()) < MOST_BYTES
    for path in RECORDS:
        record = load(path)
        simulated = record.device.kind == "sim"
        codes = {code.name for code in record.validity.codes}
        assert simulated == ("SIMULATED" in codes) == ("made up" in introduction(record))
        assert record.validity.status == "labelled"


def test_it_compares_judges_and_reports(shown):
    said, folder = shown
    lines = said.splitlines()
    names = [load(path).device.name for path in RECORDS]
    for name in names:
        assert any(line.startswith(f"  {name}: ") for line in lines)
    assert any(line.startswith("sha256d against the baseline, sim:h100") for line in lines)
    assert any(line.startswith("Money at the stated prices") for line in lines)
    for path in RECORDS:
        record = load(path)
        assert f"{record.device.name}: {record.verdict.sentence}" in lines
    assert f"Saved laid out/{PAGE}" in lines
    assert any("bench verdict 'laid out'/*.json" in line for line in lines)
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert all(load(path).run_id in page for path in RECORDS)


def test_the_files_it_lays_out_are_the_bundle(shown):
    _, folder = shown
    laid = {path.name for path in folder.iterdir()} - {PAGE}
    assert laid == {path.name for path in ROOM.iterdir()} - {"README.md"}
    assert all((folder / name).read_bytes() == (ROOM / name).read_bytes() for name in laid)


def test_a_second_time_leaves_what_is_there(shown):
    _, folder = shown
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert lay_out(folder) == [folder / path.name for path in RECORDS]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_file_by_a_runs_name_is_never_written_over(shown, tmp_path):
    _, folder = shown
    other = shutil.copytree(folder, tmp_path / "other") / RECORDS[0].name
    other.write_text("mine")
    with pytest.raises(Refusal) as refused:
        lay_out(other.parent)
    assert refused.value.status == 7
    assert other.name in str(refused.value)
    assert other.read_text() == "mine"


def test_a_place_that_is_a_file_is_refused_in_one_line(tmp_path, capsys):
    place = tmp_path / "file"
    place.write_text("mine")
    assert run(["demo", "--out", str(place)]) == 7
    assert capsys.readouterr().err == f"bench: --out {place}: File exists; choose another folder\n"


def test_nothing_written_without_jinja2_is_lost(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert run(["demo", "--out", str(tmp_path)]) == 3
    seen = capsys.readouterr()
    assert "Money at the stated prices" in seen.out
    assert "joulemark[report]" in seen.err
    assert not (Path(tmp_path) / PAGE).exists()

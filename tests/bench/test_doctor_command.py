"""``bench doctor``: every item with its cure, whatever else is broken. About six seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.catalogue import names, rooms
from bench.cli import run
from bench.doctor.facts import CudaFacts, NvmlFacts
from bench.symptoms.cards import Glances


def test_what_ships_is_healthy_and_says_what_is_doubtful(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor", "--profiles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("profiles: ")
    assert lines[0].endswith(" 0 FAIL")
    assert all(line.startswith("WARN ") for line in lines[1:])
    assert any(line.startswith("WARN gpus: flag M: ") for line in lines)


def test_all_lists_what_is_well_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--profiles", "--all"]) == 0
    out = capsys.readouterr().out
    for name in names("gpus"):
        assert f"\nOK   gpus/{name}: " in out


def test_the_findings_for_machines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "doctor.json"
    assert run(["doctor", "--profiles", "--json", str(file)]) == 0
    shown = capsys.readouterr().out.splitlines()
    found = json.loads(file.read_text(encoding="utf-8"))
    assert list(found) == ["schema", "profiles"]
    assert found["schema"] == "joulemark/doctor/1"
    assert {check["status"] for check in found["profiles"]} == {"OK", "WARN"}
    warned = [check for check in found["profiles"] if check["status"] == "WARN"]
    assert len(warned) == len(shown) - 1
    assert all(check["cure"] for check in warned)


def test_a_broken_profile_is_named_and_the_rest_still_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "profiles"
    shutil.copytree(rooms.root(), copy)
    monkeypatch.setattr(rooms, "root", lambda: copy)
    (copy / "gpus" / "h100.toml").write_text('name = "h100"\n', encoding="utf-8")
    (copy / "asics" / "junk.toml").write_bytes(b"\xff\x1b[31m")
    assert run(["doctor", "--profiles"]) == 3
    out = capsys.readouterr().out
    failed = [line for line in out.splitlines() if line.startswith("FAIL ")]
    assert "FAIL gpus/h100: gpus/h100.toml: title: is missing; write it as a string" in failed[0]
    assert "FAIL asics/junk: asics/junk.toml: is not UTF-8 text (byte 0); save it as" in failed[1]
    assert "\x1b" not in out
    # A market's rents name cards by their files, which are still there.
    assert len(failed) == 2


def test_a_machine_without_a_gpu_is_told_what_it_can_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.symptoms.Glances", lambda: Glances(tmp_path, tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    before = sorted(tmp_path.rglob("*"))
    assert run(["doctor", "--json", "-", "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found.pop("schema") == "joulemark/doctor/1"
    assert list(found) == [
        "here", "driver", "gpus", "software", "host", "places", "prices", "profiles"
    ]  # fmt: skip
    assert found["gpus"] == []
    assert "gpus: " not in said.err.replace("gpus: flag", "")
    here = {check["item"]: check for check in found["here"]}
    assert list(here) == ["device", "hash", "tokens", "joules"]
    assert here["device"]["text"].startswith("the processor, ")
    assert here["hash"]["text"].startswith("numba-cpu:")
    for name in here:
        assert f" {name}: " in said.err
    places = {check["item"]: check for check in found["places"]}
    assert places["results folder"]["text"].startswith(str(tmp_path / "runs"))
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"
    for checks in found.values():
        for check in checks:
            assert (check["status"] == "OK") == (check["cure"] is None)


def test_a_driver_that_hangs_ends_in_a_line_and_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = NvmlFacts(trouble="the driver hangs in nvmlInit: no answer in 20 s", module_loaded=True)
    monkeypatch.setattr(Glances, "told", lambda _: (hung, CudaFacts()))
    assert run(["doctor"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAIL driver: the driver hangs in nvmlInit") for line in lines)
    assert any(line.startswith("WARN device: the processor") for line in lines)
    assert not any(line.startswith("WARN gpus: flag") for line in lines), "counted only"

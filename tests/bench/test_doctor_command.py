"""``bench doctor``: every item with its cure, whatever else is broken. About two seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.catalogue import names, rooms
from bench.cli import run


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
    assert run(["doctor", "--all"]) == 0
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

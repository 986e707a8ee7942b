"""Runs of simulated cards, made once by the command itself, for tests of what is stored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a quick run; its journal lies beside it."""
    place = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        out = place / "results"
        said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1", "--out", str(out)]
        assert run(["all", *said]) == 0
    (record,) = out.glob("*.json")
    return record


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The records of a simulated h100 and a simulated rtx4090, each at its default limit."""
    home = tmp_path_factory.mktemp("compare")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setenv("XDG_RUNTIME_DIR", str(home))
        for card in ("h100", "rtx4090"):
            out = home / card
            arguments = ["all", "--device", f"sim:{card}", "--grade", "quick", "--seed", "1"]
            assert run([*arguments, "--out", str(out), "--no-color"]) == 0
            found += out.glob("*.json")
    first, second = found
    return first, second


@pytest.fixture
def compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run it; the exit status, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(["compare", *map(str, arguments), "--no-color"])
        seen = capsys.readouterr()
        return status, seen.out, seen.err

    return called


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a record with some of it changed, under another run id."""

    def copied(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
        record = json.loads(path.read_text(encoding="utf-8"))
        number = len(list(tmp_path.glob("copy-*.json")))
        record["run_id"] = f"20261123t000000z-{number:06x}"
        change(record)
        copy = tmp_path / f"copy-{number}.json"
        copy.write_text(json.dumps(record), encoding="utf-8")
        return copy

    return copied

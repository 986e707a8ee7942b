"""`bench --help` and a usage error answer at once: nothing heavy is imported on the way to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import SHORT, run
from bench.cli.help import PANELS

HEAVY = {"cupy", "numba", "numpy", "pynvml", "scipy", "torch"}
STRUCK = """
import os, signal, sys
import bench.cli

class Striker:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy._core._exceptions":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Striker())
sys.exit(bench.cli.run(["all", "--device", "sim:h100", "--dry-run"]))
"""


def modules_imported_by(*arguments: str, status: int = 0) -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "bench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr[-2000:]
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [[*command, "--help"] for command in ((), *((name,) for name in SHORT))],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    modules = modules_imported_by(*arguments)
    assert "bench" in modules
    assert not modules & HEAVY


def test_a_list_imports_nothing_heavy(tmp_path: Path) -> None:
    assert not modules_imported_by("list", str(tmp_path)) & HEAVY


def test_the_list_of_commands_is_whole_on_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    panels = [part.partition(":\n") for part in said.split("\n\n") if part[:1] not in (" ", "U")]
    listed = {name: text.splitlines() for name, _, text in panels if name != "Options"}
    found = {name: tuple(line.split()[0] for line in lines) for name, lines in listed.items()}
    assert found == PANELS
    lines = [line for part in listed.values() for line in part]
    assert {line.split()[0]: line.split(maxsplit=1)[1] for line in lines} == SHORT
    assert all(len(line) <= 80 and line.endswith(".") for line in lines)
    assert len({line.index(SHORT[line.split()[0]]) for line in lines}) == 1, "aligned"
    assert "\x1b" not in said
    assert "..." not in "".join(lines)


@pytest.mark.parametrize("arguments", [["al"], ["all", "--grad", "quick"]])
def test_a_usage_error_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not modules_imported_by(*arguments, status=2) & HEAVY


def test_a_signal_amid_numpys_import_ends_in_a_line() -> None:
    """NumPy can be loaded only once a process: the refusal must not load it again."""
    done = subprocess.run(
        [sys.executable, "-c", STRUCK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 143, done.stderr[-2000:]
    assert done.stderr == "bench: interrupted before anything was measured\n"

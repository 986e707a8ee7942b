"""`bench --help` answers at once: nothing heavy is imported on the way to it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"cupy", "numba", "pynvml", "scipy", "torch"}


def modules_imported_by(*arguments: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "bench", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = (line for line in run.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments", [[*command, "--help"] for command in ((), ("all",), ("run",), ("verify",))]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    modules = modules_imported_by(*arguments)
    assert "bench" in modules
    assert not modules & HEAVY

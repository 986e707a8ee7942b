"""Imports go only downwards, and kernels know nothing of the harness."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def test_import_contracts_hold(root: Path) -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def imported_modules(path: Path, root: Path) -> Iterator[str]:
    """Absolute names of what a kernel file imports; its package is bench.kernels.…"""
    package = ("bench", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join((*above, *filter(None, [node.module])))


def test_kernels_import_no_harness(root: Path) -> None:
    found = {
        f"{path.relative_to(root)}: {name}"
        for path in (root / "kernels").rglob("*.py")
        for name in imported_modules(path, root)
        if name.split(".")[0] == "bench" and name.split(".")[:2] != ["bench", "kernels"]
    }
    assert not found


def test_the_rule_sees_a_relative_import_that_climbs_out(tmp_path: Path) -> None:
    kernel = tmp_path / "kernels" / "sha256d" / "fast.py"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("from ...records import run\nfrom ..decoder import model\nfrom . import x\n")
    assert list(imported_modules(kernel, tmp_path)) == [
        "bench.records",
        "bench.kernels.decoder",
        "bench.kernels.sha256d",
    ]

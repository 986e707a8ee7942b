"""Every validity code that the package can emit is documented, and no other is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = re.compile(r"(?=.{3})[A-Z]+(_[A-Z]+)*")
ROW = re.compile(r"^\| `([A-Z_]+)` \|", re.MULTILINE)
FAULT_ROW = re.compile(r"^\| `([a-z-]+)` \| `([A-Z_]+)` \|$", re.MULTILINE)
METER_CALLS = {"MeterLost", "trouble", "_lose"}
PAGE = Path("docs/validity.md")


def codes_in(node: ast.AST) -> Iterator[str]:
    """String literals that look like a code."""
    for part in ast.walk(node):
        literal = part.value if isinstance(part, ast.Constant) else None
        if isinstance(literal, str) and CODE.fullmatch(literal):
            yield literal


def codes_called(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """Codes among the arguments of calls of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in names:
                yield from (code for each in node.args for code in codes_in(each))


@pytest.fixture(scope="module")
def emitted(root: Path) -> set[str]:
    """Every literal of the rules, which hold no other capitals, and what meters say themselves."""
    found: set[str] = set()
    for path in (root / "bench" / "validity").glob("*.py"):
        found |= set(codes_in(ast.parse(path.read_text(encoding="utf-8"))))
    for path in (root / "bench" / "meters").glob("*.py"):
        found |= set(codes_called(ast.parse(path.read_text(encoding="utf-8")), METER_CALLS))
    return found


def test_the_page_holds_every_code_and_no_other(root: Path, emitted: set[str]) -> None:
    rows = ROW.findall((root / PAGE).read_text(encoding="utf-8"))
    assert len(rows) == len(set(rows)), "a code has one row"
    assert set(rows) == emitted
    assert len(emitted) > 50


def test_the_thresholds_and_the_faults_name_codes_that_exist(root: Path, emitted: set[str]) -> None:
    text = (root / PAGE).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?=[A-Z_]{3})[A-Z]+(?:_[A-Z]+)*)`", text))
    assert named - emitted <= {"LD_LIBRARY_PATH", "NUMBA_ENABLE_CUDASIM"}


def test_every_simulated_fault_has_its_code(root: Path) -> None:
    from bench.simulate import KINDS

    rows = dict(FAULT_ROW.findall((root / PAGE).read_text(encoding="utf-8")))
    assert rows == {name: kind.code for name, kind in KINDS.items()}


def test_the_page_shows_the_limits_in_force(root: Path) -> None:
    from bench.validity.evidence import LIMITS

    text = (root / PAGE).read_text(encoding="utf-8")
    cells = dict(re.findall(r"^\| ([^|]+) \| `[A-Z_]+` \| (.+) \|$", text, re.MULTILINE))
    standard, publish = LIMITS["standard"], LIMITS["publish"]
    shown = {
        "register updates": f"– | {standard.updates} | {publish.updates}",
        "SM clock, first against last quarter": (
            f"– | {standard.clock_drift:.0%} | {publish.clock_drift:.0%}".replace("%", " %")
        ),
        "temperature, first against last quarter": (
            f"– | {standard.heating_c:.0f} °C | {publish.heating_c:.0f} °C"
        ),
        "variation of J/unit between blocks": (
            f"– | {standard.spread:.0%} | {publish.spread:.0%}".replace("%", " %")
        ),
        "largest gap between readings": (
            f"{LIMITS['quick'].gap_s:.0f} s | {standard.gap_s:.0f} s | {publish.gap_s:.1f} s"
        ),
    }
    for check, row in shown.items():
        assert cells[check] == row

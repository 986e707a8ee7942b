"""Every item that the doctor can tell of is documented, with its statuses and its cures."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from bench.doctor.driver import CUDA_ERRORS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
CALLS = {"warn": "WARN", "fail": "FAIL"}
ROW = re.compile(r"^\| `([^`]+)` \| (WARN|FAIL|WARN FAIL) \| (.+) \|$", re.MULTILINE)
ROOM = {"results folder": {"WARN", "FAIL"}, "cache folder": {"WARN", "FAIL"}}
"""Found by one function for both folders, which is given their names."""


@pytest.fixture(scope="module")
def in_the_code():
    """Items and how ill they can be, from the calls that make them."""
    found = defaultdict(set, {name: set(statuses) for name, statuses in ROOM.items()})
    for path in (ROOT / "bench" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", None)
            if name in CALLS and isinstance(item := node.args[0], ast.Constant):
                found[item.value].add(CALLS[name])
    return dict(found)


def test_the_page_holds_every_item_with_its_statuses_and_no_other(in_the_code):
    rows = ROW.findall(PAGE)
    assert len(rows) == len({item for item, _, _ in rows}), "an item has one row"
    assert {item: set(statuses.split()) for item, statuses, _ in rows} == in_the_code
    assert len(rows) > 35


def test_the_page_tells_what_to_do_about_each_result_of_cuda():
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    shown = {int(code): (meaning, cure.strip("`")) for code, meaning, cure in rows}
    assert shown == CUDA_ERRORS

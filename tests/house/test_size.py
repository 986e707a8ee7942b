"""No function over 60 lines and no file over 400, unless `# long: reason` stands on the line.

For a function that line is its `def`; for a file, one of its first five.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FUNCTION_LINES = 60
FILE_LINES = 400
CODE = {".py", ".c", ".cuh", ".cu", ".js"}
REASON = re.compile(r"(#|//) long: \S")


def long_functions(text: str) -> Iterator[tuple[int, str, int]]:
    """(line, name, length) of each function that is too long and gives no reason."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES and not REASON.search(lines[node.lineno - 1]):
                yield node.lineno, node.name, length


def is_long_file(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) > FILE_LINES and not any(REASON.search(line) for line in lines[:5])


def test_functions_are_short(root: Path, files: list[Path]) -> None:
    found = [
        f"{path}:{line}: {name} has {length} lines"
        for path in files
        if path.suffix == ".py"
        for line, name, length in long_functions((root / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_files_are_short(root: Path, files: list[Path]) -> None:
    code = (path for path in files if path.suffix in CODE)
    found = [str(p) for p in code if is_long_file((root / p).read_text(encoding="utf-8"))]
    assert not found


def test_the_rule_sees_length_and_accepts_a_reason() -> None:
    body = "    pass\n" * FUNCTION_LINES
    assert list(long_functions("def f():\n" + body)) == [(1, "f", FUNCTION_LINES + 1)]
    assert not list(long_functions("def f():  # long: one table\n" + body))
    assert is_long_file("x = 1\n" * (FILE_LINES + 1))
    assert not is_long_file("# long: generated\n" + "x = 1\n" * FILE_LINES)

"""The repository speaks of itself alone: no machine's paths, no package index of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path("tests/house/test_words.py")
RULES = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(home|root|work|Users|opt/wheels)/\w"),
    "a path outside the repository": re.compile(r"(?<![\w./])(\.\./)+(shared|\.library)\b"),
    "a package index": re.compile(
        r"(index-url|find-links)[ =]+['\"]?(https?|file)://(?!download\.pytorch\.org/)"
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}


def broken_rules(text: str) -> list[str]:
    return [rule for rule, pattern in RULES.items() if pattern.search(text)]


def test_files_speak_of_the_project_alone(root: Path, files: list[Path]) -> None:
    found = []
    for path in files:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path}: {rule}" for rule in broken_rules(text) if path != HERE]
    assert not found


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("open('/home/ann/x.csv')", "a path of one machine"),
        ("see ../shared/notes.md", "a path outside the repository"),
        ("pip install --index-url https://pkgs.example/simple x", "a package index"),
    ],
)
def test_the_rules_see_what_they_forbid(text: str, rule: str) -> None:
    assert broken_rules(text) == [rule]


def test_the_rules_leave_ordinary_text_alone() -> None:
    assert not broken_rules("watts/work/done at kernels/sha256d, see https://pypi.org")

"""What the docs show is what the program prints: every example is run again and compared.

A block after the line ``<!-- example -->`` holds ``$ bench …`` commands with their output. To
write them anew: ``JOULEMARK_WRITE_EXAMPLES=1 python -m pytest tests/house/test_examples.py``.
"""

import os
import re
import shlex
from pathlib import Path

import pytest

from bench.cli import run

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"(?<=<!-- example -->\n```\n)(?P<shown>.*?)(?=^```$)", re.S | re.M)
CHANGING = [
    (re.compile(r"\d{8}t\d{6}z-[0-9a-f]{6}"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "WHEN"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"\d+ days"), "N days"),
    (re.compile(r"STALE"), "     "),
]
DOCS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    if "<!-- example -->" in path.read_text()
)


def alike(text: str) -> list[str]:
    """Lines without what differs from day to day."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.splitlines()]


def again(shown: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The block with its commands run anew in the present folder."""
    lines = []
    for line in shown.splitlines():
        if not line.startswith("$ bench "):
            continue
        lines.append(line)
        arguments = []
        for word in shlex.split(line.removeprefix("$ bench ")):
            found = sorted(map(str, Path().glob(word))) if "*" in word else []
            arguments += found or [word]
        run(arguments)
        lines += [said.rstrip() for said in capsys.readouterr().out.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


@pytest.mark.parametrize("doc", DOCS)
def test_every_example_is_what_the_program_prints(
    doc: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = (ROOT / doc).read_text()
    written = EXAMPLE.sub(lambda found: again(found["shown"], capsys), text)
    if os.environ.get("JOULEMARK_WRITE_EXAMPLES"):
        (ROOT / doc).write_text(written)
    assert alike(text) == alike(written)

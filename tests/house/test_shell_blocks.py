"""Every shell block of the docs is run, or says why not; and every ``bench`` line is one it takes.

The line before a block is ``<!-- example -->`` (run, its output compared: ``test_examples.py``),
``<!-- run -->`` (run here, and ends with 0), or ``<!-- not run: why -->``.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli import app, run, spread_sets

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?P<before>.*)\n```(?P<language>\w*)\n(?P<body>(?:.*\n)*?)```$", re.M)
MARK = re.compile(r"<!-- (example|run|not run: \S.*) -->")
COMMAND = re.compile(
    r"^(?:\$ )?(?:sudo )?(?:\.venv/bin/|(?:\S*/)?python -m )?bench (?P<rest>[a-z-]+(?![\w:-]).*)$",
    re.M,
)
SHELLS = {"sh", "bash", "console", "shell"}


@dataclass(frozen=True)
class Block:
    """A fenced block that a reader would type: where it stands, what the line before it says."""

    page: str
    line: int
    mark: str
    body: str

    def commands(self) -> Iterator[list[str]]:
        """The arguments of each ``bench`` line, comments left out, patterns not yet matched."""
        text = self.body.replace("\\\n", " ")
        for found in COMMAND.finditer(text):
            lexed = shlex.shlex(found["rest"], posix=True, punctuation_chars=";&|()<>")
            lexed.whitespace_split = True
            words = list(lexed)
            ends = [place for place, word in enumerate(words) if set(word) <= set(";&|()<>")]
            yield words[: ends[0]] if ends else words


def blocks(page: str, text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        typed = found["language"] in SHELLS
        if typed or (not found["language"] and COMMAND.search(found["body"])):
            line = text.count("\n", 0, found.start("body"))
            yield Block(page, line, found["before"], found["body"])


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCKS = [
    block
    for page in PAGES
    for block in blocks(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))
]
RUN = [block for block in BLOCKS if block.mark == "<!-- run -->"]


@cache
def program() -> Any:
    return typer.main.get_command(app)


def refusal(words: list[str]) -> str | None:
    """What the parser says against these arguments."""
    command = program()
    context = typer.Context(command, info_name="bench")
    words = spread_sets(words)
    try:
        while hasattr(command, "commands"):
            name, command, words = command.resolve_command(context, words)
            context = typer.Context(command, info_name=name, parent=context)
        command.make_context(context.info_name, words, parent=context.parent)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return None


def test_every_shell_block_is_run_or_says_why_not() -> None:
    bare = [f"{block.page}:{block.line}" for block in BLOCKS if not MARK.fullmatch(block.mark)]
    assert not bare, f"mark with <!-- run --> or <!-- not run: why -->: {bare}"


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_every_bench_line_is_one_that_the_program_takes(page: str) -> None:
    refused = {
        " ".join(words): said
        for block in BLOCKS
        if block.page == page
        for words in block.commands()
        if words[-1] not in ("--help", "-h") and (said := refusal(words))
    }
    assert not refused


def test_what_the_program_does_not_take_is_seen() -> None:
    text = "<!-- run -->\n```sh\nbench list --devise x  # why\n$ bench run -- ls > x; echo 1\n```\n"
    (block,) = blocks("x.md", text)
    assert block.mark == "<!-- run -->"
    first, second = block.commands()
    assert (first, second) == (["list", "--devise", "x"], ["run", "--", "ls"])
    assert "--devise" in str(refusal(first))
    assert refusal(second) is None
    assert refusal(["verdict", "a.json", "--set", "btc=1", "power=2"]) is None


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs where the docs have theirs: results/, a/, b/ and RUN.json."""
    place = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        for card, folder in (("h100", "a"), ("rtx4090", "b")):
            said = ["--device", f"sim:{card}", "--grade", "quick", "--seed", "1"]
            assert run(["all", *said, "--out", str(place / folder)]) == 0
    shutil.copytree(place / "b", place / "results")
    for folder in (place, place / "results"):
        for path in (place / "a").iterdir():
            name = "RUN.json" if path.suffix == ".json" else path.name
            shutil.copy(path, folder / name)
    return place


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_runs_as_it_stands(
    block: Block, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commands = list(block.commands())
    assert commands
    for words in commands:
        matched = [(word, sorted(map(str, Path().glob(word)))) for word in words if "*" in word]
        assert all(found for _, found in matched), words
        given = [each for word in words for each in (dict(matched).get(word) or [word])]
        assert run(given) == 0, words

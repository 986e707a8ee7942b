"""The committed pages that are made of the code or of records are what the code makes today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli import SHORT, refusal, run
from bench.cli.reference import page

ROW = re.compile(r"^\| `(--[a-z-]+)`", re.M)


@pytest.fixture(scope="module")
def made() -> str:
    return page()


def test_the_committed_command_reference_is_current(root: Path, made: str) -> None:
    committed = (root / "docs" / "commands.md").read_text(encoding="utf-8")
    assert committed == made, "python -m bench.cli.reference > docs/commands.md"


@pytest.mark.parametrize("command", sorted(SHORT.keys() - {"market"}))
def test_the_reference_names_every_option_that_help_names(
    command: str, made: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    said = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.M))
    section = made.split(f"## `bench {command}`\n")[1].split("\n## ", maxsplit=1)[0]
    assert set(ROW.findall(section)) == said - {"--help"}


def test_every_exit_status_has_its_meaning(made: str) -> None:
    statuses = {value for value in vars(refusal).values() if isinstance(value, int)}
    assert set(refusal.MEANING) == statuses
    for status, meaning in refusal.MEANING.items():
        assert f"\n| {status} | {meaning} |\n" in made


def test_defaults_bounds_and_required_ones_are_told(made: str) -> None:
    assert "| `--grade` | `quick`, `standard`, `publish` | `standard` | How long" in made
    assert re.search(r"\| `--context` \| `TOKENS` \| – \| .* `x>=1` \|", made)
    assert re.search(r"\| `--power-limit` \| `W,W,…` \| required \|", made)
    assert "`bench market new [OPTIONS] FILE.toml`" in made


def test_the_readme_has_every_exit_status(root: Path, made: str) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    table = readme.split("\n## Exit status\n")[1].split("\n## ", maxsplit=1)[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.M)
    statuses = [status for row in rows for status in row.split(", ")]
    assert statuses == re.findall(r"^\| (\d+) \|", made, re.M)

"""The doors a newcomer takes: the Makefile's verbs and the README's shell blocks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

VERBS = {"bench", "test", "check", "speed"}
SHELL_BLOCK = re.compile(r"^```(?:sh|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z][\w-]*)\s*:(?![:=])", makefile, re.MULTILINE))


def test_the_makefile_has_four_verbs(root: Path) -> None:
    text = (root / "Makefile").read_text(encoding="utf-8")
    assert targets(text) == VERBS
    declared = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert declared is not None
    assert set(declared[1].split()) == VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_makes_the_environment_first(root: Path, verb: str) -> None:
    dry = subprocess.run(["make", "-n", verb], cwd=root, capture_output=True, text=True, check=True)
    commands = [line for line in dry.stdout.splitlines() if not line.startswith("make")]
    assert ".ci/setup" in commands[0]


@pytest.fixture(scope="module")
def shell_blocks(root: Path) -> list[str]:
    if not (root / "README.md").exists():
        pytest.skip("there is no README.md")
    blocks = SHELL_BLOCK.findall((root / "README.md").read_text(encoding="utf-8"))
    assert blocks, "README.md shows no shell block"
    return [str(block) for block in blocks]


def test_readme_shell_blocks_parse(shell_blocks: list[str]) -> None:
    for block in shell_blocks:
        run = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr + block


def test_readme_names_targets_that_exist(shell_blocks: list[str]) -> None:
    named = set(re.findall(r"^\s*make (\w+)", "\n".join(shell_blocks), re.MULTILINE))
    assert named, "README.md names no verb of the Makefile"
    assert named <= VERBS

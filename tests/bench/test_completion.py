"""What a shell is given when the tab key is pressed, through the scripts' own protocol."""

import os
import subprocess
import sys

import pytest

from bench.catalogue import names

HEAVY = {"cupy", "jinja2", "numba", "numpy", "pydantic", "pynvml", "rich", "scipy", "torch"}


def asked(shell, line, *flags):
    """What ``bench`` answers to the script of a shell on a line; the last word is incomplete."""
    words = line.split(" ")
    told = {
        "_BENCH_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, *flags, "-m", "bench"]
    environment = {**os.environ, **told}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("bench co", ["compare"]),
        ("bench re", ["report", "recover"]),
        ("bench market ", ["list", "check", "new"]),
        ("bench all --grade ", ["quick", "standard", "publish"]),
        ("bench all --market ", names("markets")),
        ("bench verdict --market b", ["bear", "bull"]),
        ("bench all --device ", ["cpu", *(f"sim:{name}" for name in names("gpus"))]),
        ("bench all --device sim:rtx5", ["sim:rtx5090"]),
        ("bench infer --model ", names("models")),
        ("bench all --meter r", ["rapl"]),
        ("bench all --require", ["--require-energy"]),
    ],
)
def test_bash_gets_the_choices(line, choices):
    assert sorted(asked("bash", line).stdout.split()) == sorted(choices)


def test_zsh_gets_them_with_what_they_mean():
    assert '"compare":"Stored runs side by side' in asked("zsh", "bench co").stdout
    assert '"standard"' in asked("zsh", "bench all --grade ").stdout
    assert '"post-halving-2028"' in asked("zsh", "bench all --market p").stdout


@pytest.mark.parametrize("line", ["bench co", "bench all --market "])
def test_nothing_heavy_is_imported_for_it(line):
    said = asked("bash", line, "-X", "importtime").stderr.splitlines()
    modules = {each.rpartition("|")[2].strip().split(".")[0] for each in said}
    assert "bench" in modules
    assert not modules & HEAVY

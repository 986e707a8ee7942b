"""What a shell is given when the tab key is pressed, through the scripts' own protocol."""

import os
import subprocess
import sys

import pytest

from bench.catalogue import names
from bench.cli import run

HEAVY = {"cupy", "jinja2", "numba", "numpy", "pynvml", "rich", "scipy", "torch"}


def protocol(shell, line):
    """What the script of a shell says to ``bench`` about a line whose last word is incomplete."""
    return {
        "_BENCH_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }


@pytest.fixture
def asked(monkeypatch, capsys):
    """The answer to it."""

    def answer(shell, line):
        for name, value in protocol(shell, line).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            run([])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return answer


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
def test_bash_gets_the_choices(asked, line, choices):
    assert sorted(asked("bash", line).split()) == sorted(choices)


def test_zsh_gets_them_with_what_they_mean(asked):
    assert '"compare":"Stored runs side by side' in asked("zsh", "bench co")
    assert '"standard"' in asked("zsh", "bench all --grade ")
    assert '"post-halving-2028"' in asked("zsh", "bench all --market p")


def test_nothing_heavy_is_imported_for_it():
    environment = {**os.environ, **protocol("bash", "bench all --market b")}
    command = [sys.executable, "-X", "importtime", "-m", "bench"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["bear", "bull"]
    lines = done.stderr.splitlines()
    modules = {line.rpartition("|")[2].strip().split(".")[0] for line in lines}
    assert "bench" in modules
    assert not modules & HEAVY

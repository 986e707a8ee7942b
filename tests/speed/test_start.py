"""How soon ``bench --help`` answers, beside the interpreter's own start in the same run."""

import subprocess
import sys

import pytest

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "bench --help": ["-m", "bench", "--help"],
    "bench all --help": ["-m", "bench", "all", "--help"],
}


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, name):
    command = [sys.executable, *COMMANDS[name]]
    done = benchmark(subprocess.run, command, capture_output=True, check=True)
    assert ("Usage" in done.stdout.decode()) == ("help" in name)

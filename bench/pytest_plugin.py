"""The fixture ``joule_benchmark``: pytest-benchmark's ``benchmark``, and the joules of a round.

A plugin of every pytest run where joulemark is installed, so nothing heavy is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.gate.rounds import RoundJoules
    from bench.joule_rounds import JouleBenchmark

FOUND = pytest.StashKey[list[tuple[str, "RoundJoules"]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which device, and which instrument reads its power."""
    group = parser.getgroup("joulemark")
    group.addoption(
        "--joule-gpu", type=int, metavar="N",
        help="NVML index of the GPU whose joules joule_benchmark counts (default: the first"
        " visible one, else the CPU)",
    )  # fmt: skip
    group.addoption("--joule-cpu", action="store_true", help="count the CPU's joules")
    group.addoption(
        "--joule-meter", default="auto", metavar="NAME",
        help="instrument, as for bench --meter: auto, none, rapl, nvml:N, assumed:W",
    )  # fmt: skip


@pytest.fixture
def joule_benchmark(request: pytest.FixtureRequest) -> JouleBenchmark:
    """``benchmark`` of pytest-benchmark that also measures joules; skips where that is missing."""
    try:
        benchmark = request.getfixturevalue("benchmark")
    except pytest.FixtureLookupError:
        pytest.skip("joule_benchmark needs pytest-benchmark: pip install pytest-benchmark")
    from bench.joule_rounds import Asked, JouleBenchmark

    config = request.config
    option = config.getoption
    asked = Asked(option("--joule-gpu"), option("--joule-cpu"), option("--joule-meter"))
    found = config.stash.setdefault(FOUND, [])
    return JouleBenchmark(benchmark, asked, lambda each: found.append((request.node.nodeid, each)))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What each round took, below pytest-benchmark's table of times."""
    found = config.stash.get(FOUND, [])
    if not found:
        return
    from bench.joule_rounds import line

    terminalreporter.section("joules per round")
    for name, each in found:
        terminalreporter.write_line(line(name, each))

"""Times cpuminer-opt (``cpuminer``) and pooler's cpuminer (``minerd``) beside our CPU kernels.

    python tests/speed/compare_cpuminer.py [--threads 1,2] [--rounds 5] [--seconds 8]
        [--cpuminer PATH]… [--minerd PATH]… [VARIANT…]

We ship neither program; those on the PATH are taken, or the ones that are named. Each round runs
every program and every variant once at each number of threads, one after the other, so that a noisy
machine treats all alike; the table has medians over the rounds. Hashes per CPU second hold even
when others use the same cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psutil

from bench.kernels.sha256d.workload import Sha256dWorkload, variants

_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_TOTAL = re.compile(r"Total: ([0-9.]+) ([kMG]?)(?:hash|H)/s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rate:
    """Hashes per second of wall time, and per second of one CPU's time."""

    wall_hz: float
    cpu_hz: float


def miner(command: Sequence[str], threads: int, seconds: float) -> Rate:
    """A miner's benchmark from its first report to the first one after ``seconds``."""
    process = subprocess.Popen(
        [*command, "--benchmark", "-a", "sha256d", "-t", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    began_s, used, at = time.monotonic(), psutil.Process(process.pid), []
    hashes = 0.0
    try:
        for line in process.stdout:
            if not (report := _TOTAL.search(line)):
                continue
            at.append((time.monotonic(), sum(used.cpu_times()[:2])))
            if len(at) > 1:  # a report is about the time since the last one
                hashes += float(report[1]) * _UNITS[report[2]] * (at[-1][0] - at[-2][0])
                if at[-1][0] - began_s > seconds:
                    break
    finally:
        process.kill()
        process.wait()
    if len(at) < 2:
        raise SystemExit(f"{command[0]} ended after {len(at)} reports")
    return Rate(hashes / (at[-1][0] - at[0][0]), hashes / (at[-1][1] - at[0][1]))


def ours(variant: str, threads: int, seconds: float) -> Callable[[], Rate]:
    """A variant, compiled and verified; the call runs it."""
    workload = Sha256dWorkload(kernel=f"numba-cpu:{variant}", window_s=seconds, threads=threads)
    workload.prepare()
    wrong = [check for check in workload.verify() if not check[1]]
    if wrong:
        raise SystemExit(f"{variant}: {wrong}")

    def run() -> Rate:
        marks: list[tuple[float, int]] = []
        ends_s, cpu_s = time.monotonic() + seconds, time.process_time()
        workload.run(lambda *mark: marks.append(mark), lambda: time.monotonic() > ends_s)
        cpu_s = time.process_time() - cpu_s
        (first_s, _), (last_s, hashes) = marks[0], marks[-1]
        return Rate(hashes / (last_s - first_s), hashes / cpu_s)

    return run


def _counts(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Read the options, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT", default=variants("numba-cpu"))
    parser.add_argument("--threads", type=_counts, default=[1], metavar="N,…")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--cpuminer", action="append", default=[], metavar="PATH")
    parser.add_argument("--minerd", action="append", default=[], metavar="PATH")
    options = parser.parse_args()
    named = options.cpuminer + options.minerd
    found = named or [path for name in ("cpuminer", "minerd") if (path := shutil.which(name))]
    programs: dict[str, Callable[[], Rate]] = {}
    for threads in options.threads:
        for path in found:
            run = partial(miner, [path], threads, options.seconds)
            programs[f"{path[-36:]} ×{threads}"] = run
        for variant in options.variants:
            programs[f"numba-cpu:{variant} ×{threads}"] = ours(variant, threads, options.seconds)
    rates: dict[str, list[Rate]] = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, run in programs.items():
            rates[name].append(run())
    print(f"× threads; {options.rounds} rounds of {options.seconds:g} s, medians")
    print(f"load average at the end {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print(f"{'':40} {'MH/s':>8} {'MH/s per CPU second':>20}")
    for name, each in rates.items():
        wall, cpu = (
            statistics.median(values) / 1e6
            for values in ([r.wall_hz for r in each], [r.cpu_hz for r in each])
        )
        print(f"{name:40} {wall:8.2f} {cpu:20.2f}")


if __name__ == "__main__":
    main()

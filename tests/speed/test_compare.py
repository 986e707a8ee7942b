"""How long a comparison of 100 records of 100 cards takes, the whole command; under 2 s."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run

RECORDS = 100
WALL_S = 2.0


@pytest.mark.benchmark(group="compare")
def test_the_command(benchmark: Any, tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert run(["all", "--device", "sim:h100", "--grade", "standard", "--out", str(made)]) == 0
    record = json.loads(next(made.glob("*.json")).read_text(encoding="utf-8"))
    files = []
    for number in range(RECORDS):
        record["run_id"] = f"20261123t000000z-{number:06x}"
        record["device"] |= {"uuid": f"GPU-{number}", "name": f"card {number}"}
        files.append(tmp_path / f"{number:03}.json")
        files[-1].write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    command = [sys.executable, "-m", "bench", "compare", *map(str, files)]

    def timed() -> float:
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, check=True)
        assert done.stdout.count(b"card ") >= RECORDS
        return time.perf_counter() - begun

    best = min(benchmark.pedantic(timed, rounds=1), timed(), timed())
    assert best < WALL_S

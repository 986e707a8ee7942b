"""How long the commands on stored runs take, beside a plain ``json.loads`` of the same files.

A thousand listed, a hundred compared, one on a page: each from the interpreter's start to its end.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run

PARSE = "import json, sys; print(sum(len(json.load(open(each))) for each in sys.argv[1:]))"


def copies(tmp_path: Path, grade: str, count: int) -> list[Path]:
    """Records of one run under other ids and of other cards, laid out as ``save`` does."""
    made = tmp_path / "made"
    assert run(["all", "--device", "sim:h100", "--grade", grade, "--out", str(made)]) == 0
    record = json.loads(next(made.glob("*.json")).read_text(encoding="utf-8"))
    folder = tmp_path / "copies"
    folder.mkdir()
    files = []
    for number in range(count):
        record["run_id"] = f"20261123t000000z-{number:06x}"
        record["device"] |= {"uuid": f"GPU-{number}", "name": f"card {number}"}
        files.append(folder / f"{record['run_id']}.json")
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        files[-1].write_text(text, encoding="utf-8")
    return files


def timed(benchmark: Any, *command: str) -> bytes:
    done: subprocess.CompletedProcess[bytes] = benchmark.pedantic(
        subprocess.run,
        ([sys.executable, *command],),
        {"capture_output": True, "check": True},
        rounds=5,
        warmup_rounds=1,
    )
    return done.stdout


@pytest.mark.benchmark(group="list of 1 000")
@pytest.mark.parametrize("how", ["json.loads", "bench list"])
def test_list(benchmark: Any, tmp_path: Path, how: str) -> None:
    files = copies(tmp_path, "quick", 1000)
    plain = ("-c", PARSE, *map(str, files))
    listed = ("-m", "bench", "list", str(files[0].parent), "--limit", "0")
    out = timed(benchmark, *(plain if how == "json.loads" else listed))
    assert out.count(b"card ") == (0 if how == "json.loads" else 1000)


@pytest.mark.benchmark(group="compare of 100")
@pytest.mark.parametrize("how", ["json.loads", "bench compare"])
def test_compare(benchmark: Any, tmp_path: Path, how: str) -> None:
    files = list(map(str, copies(tmp_path, "standard", 100)))
    plain, compared = ("-c", PARSE, *files), ("-m", "bench", "compare", *files)
    out = timed(benchmark, *(plain if how == "json.loads" else compared))
    assert (out.count(b"card ") >= 100) == (how != "json.loads")


@pytest.mark.benchmark(group="report of one")
@pytest.mark.parametrize("how", ["json.loads", "bench report"])
def test_report(benchmark: Any, tmp_path: Path, how: str) -> None:
    copies(tmp_path, "standard", 0)
    (file,) = map(str, (tmp_path / "made").glob("*.json"))
    page = tmp_path / "page.html"
    plain, made = ("-c", PARSE, file), ("-m", "bench", "report", file, "--html", str(page))
    timed(benchmark, *(plain if how == "json.loads" else made))
    assert page.exists() == (how != "json.loads")

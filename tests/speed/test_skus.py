"""How long the table of every shipped card takes at its default 20 000 draws; under 2 s."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import load_gpu, load_market, load_model, names
from bench.predict import DRAWS, table
from bench.predict.point import Asked

WALL_S = 2.0


@pytest.mark.benchmark(group="skus")
def test_the_draws(benchmark: Any) -> None:
    model, market = load_model("8b"), load_market("default")
    cards = [load_gpu(name) for name in names("gpus")]
    price = next(each for each in market.tokens if each.model_id == model.model_id)
    rents = {rent.gpu: rent for rent in market.rents if rent.gpu is not None}
    asked = Asked(model, "bf16", 1024, 1024, None, 0.05)
    found = benchmark(
        table, asked, cards, [], market, price=price, rents=rents, seed=0, draws=DRAWS
    )
    benchmark.extra_info["cards"] = len(found.rows)
    assert len(found.rows) == len(cards)


@pytest.mark.benchmark(group="skus")
def test_the_command(benchmark: Any, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    command = [sys.executable, "-m", "bench", "skus", "--json", str(out)]

    def timed() -> float:
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - begun

    best = min(benchmark.pedantic(timed, rounds=1), timed(), timed())
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["draws"] == DRAWS
    assert len(document["rows"]) >= 25
    assert best < WALL_S

"""Speed of micro on this machine's CPU: what the cache buys over recomputing every prefix."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

import bench.profiles
from bench.kernels.decoder import reference
from bench.kernels.decoder.workload import DecodeWorkload

STEPS = 16


@pytest.fixture(scope="module")
def workload() -> DecodeWorkload:
    file = Path(bench.profiles.__file__).parent / "models" / "micro.toml"
    config = tomllib.loads(file.read_text(encoding="utf-8"))["config"]
    made = DecodeWorkload(model=config, weights="shipped:micro", batch=1, steps=STEPS)
    made.prepare()
    return made


@pytest.mark.benchmark(group="decode: one row, 16 tokens after 128")
def test_cached(workload: DecodeWorkload, joule_benchmark: Any) -> None:
    session = workload._session
    assert session is not None

    def decode() -> None:
        session.rewind()
        for _ in range(STEPS):
            session.step()

    joule_benchmark(decode)
    joule_benchmark.extra_info["tokens_per_s"] = STEPS / joule_benchmark.stats["mean"]


@pytest.mark.benchmark(group="decode: one row, 16 tokens after 128")
def test_uncached(workload: DecodeWorkload, joule_benchmark: Any) -> None:
    session = workload._session
    assert session is not None
    decoder, prompt = session.decoder, workload._prompts[0]
    with torch.inference_mode():
        joule_benchmark(reference.greedy, decoder.config, decoder.named_weights(), prompt, STEPS)
    joule_benchmark.extra_info["tokens_per_s"] = STEPS / joule_benchmark.stats["mean"]

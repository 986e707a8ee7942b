"""The model that ships: its size, its golden prompts, and the gate on it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

import bench.profiles
from bench.kernels.decoder import gate, reference, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.train_micro import MICRO
from bench.kernels.decoder.workload import DecodeWorkload


@pytest.fixture(scope="module")
def micro() -> dict[str, Any]:
    file = Path(bench.profiles.__file__).parent / "models" / "micro.toml"
    config: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["config"]
    return config


def test_the_profile_is_what_was_trained(micro: dict[str, Any]) -> None:
    assert ModelConfig.from_mapping(micro) == MICRO
    assert 1.5e6 <= MICRO.n_params() <= 1.9e6
    assert (weights.SHIPPED / "micro.safetensors").stat().st_size < 4e6


def test_it_passes_the_gate_and_runs_on_real_data(micro: dict[str, Any]) -> None:
    workload = DecodeWorkload(model=micro, weights="shipped:micro", steps=32, threads=1)
    workload.prepare()
    checks = workload.verify()
    assert all(passed for _, passed, _ in checks), checks
    assert "golden prompts" in [name for name, _, _ in checks]
    profile = workload.describe()["data_profile"]
    assert profile["init"] == "shipped:micro"
    assert profile["prompts"] == "text"
    assert profile["degenerate"] == []
    assert profile["toggles"] == pytest.approx(5.6, abs=0.5)


def test_golden_prompts_hold_in_the_uncached_reference() -> None:
    record = json.loads((weights.SHIPPED / "micro_golden.json").read_text(encoding="utf-8"))
    named = {name: torch.empty(shape) for name, shape in MICRO.shapes().items()}
    weights.load(named, weights.resolve("shipped:micro"))
    assert len(record["golden"]) >= 4
    case = record["golden"][0]
    prompt, expected = (case[key].encode("latin-1") for key in ("prompt", "continuation"))
    tokens, scores = reference.greedy(MICRO, named, list(prompt), len(expected))
    assert bytes(tokens) == expected
    assert len(tokens) >= 32
    best = scores.topk(2, dim=-1).values
    assert float((best[:, 0] - best[:, 1]).min()) > gate.GOLDEN_MARGIN

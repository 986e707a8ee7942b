"""What fits and what does not, before anything is allocated."""

import tomllib
from pathlib import Path

import pytest
import torch

import bench.profiles
from bench.kernels.decoder import capacity
from bench.kernels.decoder.config import ModelConfig

GB = 1_000_000_000
MODELS = Path(bench.profiles.__file__).parent / "models"


def shipped(name: str) -> ModelConfig:
    table = tomllib.loads((MODELS / f"{name}.toml").read_text(encoding="utf-8"))
    return ModelConfig.from_mapping(table["config"])


def require(name: str, free_gb: float, monkeypatch: pytest.MonkeyPatch, **plan: int) -> None:
    monkeypatch.setattr(capacity, "free_bytes", lambda _: int(free_gb * GB))
    asked = {"batch": 1, "context": 512, "steps": 256, "word": 2} | plan
    capacity.require(shipped(name), device=torch.device("cuda"), **asked)


@pytest.mark.parametrize(("memory_gb", "thousands"), [(24, 46), (32, 102), (80, 439), (141, 867)])
def test_the_kv_cache_of_8b_beside_its_weights(memory_gb: int, thousands: int) -> None:
    tokens = capacity.kv_tokens(shipped("8b"), memory_gb * GB, 2)
    assert tokens == pytest.approx(1000 * thousands, abs=1000)


@pytest.mark.parametrize(
    ("name", "thousands"), [("14b", 611), ("32b", 244), ("moe", 1785), ("70b", 0)]
)
def test_the_kv_cache_of_larger_models_on_an_h200(name: str, thousands: int) -> None:
    config = shipped(name)
    left_bytes = 0.92 * 141e9 - 2 * config.n_params()
    by_hand = max(0.0, left_bytes / (2 * config.kv_elements_per_token()))
    tokens = capacity.kv_tokens(config, 141 * GB, 2)
    assert tokens == pytest.approx(by_hand, rel=2e-3)
    assert tokens == pytest.approx(1000 * thousands, abs=3000)


def test_70b_in_bf16_is_refused_on_an_h200_with_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MemoryError) as caught:
        require("70b", 141, monkeypatch)
    text = str(caught.value)
    assert "70b at batch 1, context 512+256 needs" in text
    assert "weights 141" in text
    assert "cuda has 141 GB free, 92% of it usable: nothing is left for a cache" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["1b", "8b", "14b", "32b", "moe"])
def test_the_others_fit_an_h200_in_bf16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require(name, 141, monkeypatch)
    config = shipped(name)
    assert capacity.kv_tokens(config, 141 * GB, 2) > 512 + 256
    weights_gb = 2 * config.n_params() / 1e9
    with pytest.raises(MemoryError, match=rf"^{name} at batch 1, .*nothing is left for a cache"):
        require(name, weights_gb / 0.92, monkeypatch)


def test_a_batch_that_does_not_fit_is_told_how_much_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemoryError, match=r"lower the batch or the context \((\d+) tokens") as e:
        require("8b", 24, monkeypatch, batch=64, context=1024)
    room = int(str(e.value).partition("context (")[2].split()[0])
    assert 0 < room < 46_000
    require("8b", 24, monkeypatch, batch=1, context=min(room, 1024) - 256)


def test_the_experts_of_a_mixture_count_in_full_and_their_scratch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = shipped("moe")
    weights_gb = 2 * config.n_params() / 1e9
    assert weights_gb == pytest.approx(41.8, abs=0.1)
    with pytest.raises(MemoryError, match=r"weights 41\.8.*nothing is left"):
        require("moe", weights_gb / 0.92 + 1, monkeypatch)
    require("moe", weights_gb / 0.92 + 8, monkeypatch)


def test_a_long_context_counts_its_rotary_tables() -> None:
    config = shipped("micro")
    assert capacity.rope_elements(config) == 2 * 1024 * 32

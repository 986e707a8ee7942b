"""Cards, a model and a market as shipped, and runs made up of known figures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.catalogue import load_gpu, load_market, load_model
from bench.predict.measured import Measured, Ratio
from bench.predict.point import Asked
from bench.records.market import GpuProfile, MarketProfile, ModelConfig


@pytest.fixture(scope="session")
def market() -> MarketProfile:
    return load_market("default")


@pytest.fixture(scope="session")
def model() -> ModelConfig:
    return load_model("8b")


@pytest.fixture(scope="session")
def card() -> Callable[..., GpuProfile]:
    """A shipped card, with other fields where given."""

    def made(name: str, **changes: Any) -> GpuProfile:
        return replace(load_gpu(name), **changes)

    return made


@pytest.fixture
def asked(model: ModelConfig) -> Callable[..., Asked]:
    """A point: 8b bf16, 1024/1024, largest batch under 50 ms, unless told otherwise."""

    def made(**changes: Any) -> Asked:
        plain = Asked(model, "bf16", 1024, 1024, None, 0.05)
        return replace(plain, **changes)

    return made


@pytest.fixture
def run() -> Callable[..., Measured]:
    """A run of a card whose figures are known multiples of what the priors predict."""

    def made(gpu: GpuProfile, *, mark: Any = "measured", ranked: bool = True, **of: float) -> Any:
        ratios = {kind.replace("_", " "): Ratio(mid, 0.02) for kind, mid in of.items()}
        return Measured(f"run-{gpu.name}-0000", gpu, mark, ranked, ratios, None, None)  # type: ignore[arg-type]

    return made

"""Quantised rungs and mixtures on a CUDA device: its own kernels, against plain products."""

from typing import Any

import pytest
import torch

from bench.kernels.decoder import moe, precision
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.opened import Check
from bench.kernels.decoder.workload import DecodeWorkload

from .conftest import SHAPE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CUDA = torch.device("cuda")
MIXTURE = {"n_experts": 16, "experts_per_token": 2, "d_ffn": 256}


@pytest.fixture
def _capable(rung: str) -> None:
    try:
        precision.require(rung, ModelConfig.from_mapping(SHAPE), CUDA)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_capable")
@pytest.mark.parametrize("rung", ["fp8", "int4"])
@pytest.mark.parametrize("columns", [512, 1408, 4096])
def test_products_as_packed_are_plain_ones(rung: str, columns: int) -> None:
    generator = torch.Generator("cuda").manual_seed(5)
    weight = torch.randn(768, columns, device=CUDA, generator=generator).bfloat16()
    made, worst = precision.quantise(weight, rung)
    assert worst <= 1e-2
    plain = precision.dequantised(made, 256, 512)
    least = {"fp8": 0.03, "int4": 0.1}[rung]
    away = (plain - weight[256:768].float()).norm() / weight[256:768].float().norm()
    assert 0 < float(away) < least, "read back from the wrong place"
    for rows in (1, 7, 64):
        x = torch.randn(rows, columns, device=CUDA, generator=generator).bfloat16()
        expected = precision.rounding(rung)(x.float()) @ precision.dequantised(made, 0, 768).T
        found = precision.product(x, made).float()
        assert float((found - expected).abs().max()) <= 1e-2 * float(expected.abs().max())


@pytest.mark.usefixtures("_capable")
@pytest.mark.parametrize("rung", ["fp8", "int4"])
@pytest.mark.parametrize("route", ["graph", "graph+compile"])
def test_a_rung_passes_its_gate_on_every_route(rung: Any, route: str) -> None:
    checks = checked(route, precision=rung)
    assert all(passed for _, passed, _ in checks), checks


@pytest.mark.parametrize("route", ["eager", "graph", "graph+compile"])
@pytest.mark.parametrize("batch", [1, 24], ids=["chosen experts alone", "grouped"])
def test_a_mixture_passes_its_gate_on_every_route(route: str, batch: int) -> None:
    checks = checked(route, precision="bf16", batch=batch, model=SHAPE | MIXTURE)
    assert all(passed for _, passed, _ in checks), checks


def checked(route: str, **changes: Any) -> list[Check]:
    """What is checked before 100 steps by that very route and after them."""
    arguments: dict[str, Any] = {"model": SHAPE, "context": 128, "steps": 64} | changes
    workload = DecodeWorkload(device="cuda", route=route, **arguments)
    workload.prepare()
    decoding = workload.describe()["decoding"]
    assert decoding["route"] == route, decoding["fallbacks"]
    before = workload.verify()
    calls = iter(range(101))
    workload.run(lambda *_: None, lambda: next(calls) == 100)
    after = workload.check()
    workload.close()
    assert before
    assert after
    return [*before, *after]


def test_grouped_products_equal_those_of_every_expert() -> None:
    config = ModelConfig.from_mapping(SHAPE | MIXTURE)
    experts = moe.Experts(config, CUDA, torch.bfloat16)
    if not experts.grouped:
        pytest.skip("this card has no grouped products with bounds of its own")
    generator = torch.Generator("cuda").manual_seed(5)
    for name, weight in experts.named().items():
        weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
        assert weight.is_cuda, name
    x = torch.randn(100, config.d_model, device=CUDA, generator=generator).bfloat16()
    with torch.inference_mode():
        torch.cuda.set_sync_debug_mode("error")
        try:
            grouped = experts(x)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        experts.grouped = False
        torch.testing.assert_close(grouped, experts(x), rtol=2e-2, atol=2e-2)

"""The decoder on a CUDA device: it equals the reference there, and names the card it ran on."""

from typing import Any

import pytest
import torch

from bench.kernels.decoder import weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.workload import DecodeWorkload

from .conftest import SHAPE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("flags", [{}, {"qk_norm": True, "sliding_window": 96}], ids=str)
def test_decode_passes_its_gate_and_its_check(precision: str, flags: dict[str, Any]) -> None:
    workload = DecodeWorkload(
        device="cuda",
        model=SHAPE | flags,
        precision=precision,  # type: ignore[arg-type]
        context=128,
        steps=64,
    )
    workload.prepare()
    before = workload.verify()
    assert all(passed for _, passed, _ in before), before
    calls = iter(range(201))
    marks: list[tuple[float, int]] = []
    workload.run(lambda t_s, units: marks.append((t_s, units)), lambda: next(calls) == 200)
    assert marks == sorted(marks)
    assert marks[-1][1] == 8 * 200
    after = workload.check()
    assert all(passed for _, passed, _ in after), after
    (latency,) = workload.facts()
    assert latency["data"]["n"] == 200
    assert 0 < latency["data"]["p90_s"] < 5 * latency["data"]["p50_s"], "a plan per span?"
    workload.close()


def test_the_card_is_named_by_its_uuid() -> None:
    workload = DecodeWorkload(device="cuda", model=SHAPE, context=16, steps=8)
    workload.prepare()
    uuid = workload.describe()["device_uuid"]
    assert uuid.startswith("GPU-")
    assert len(uuid) == len("GPU-") + 36
    assert workload.describe()["config"]["threads"] is None


@pytest.mark.parametrize("route", ["graph+compile", "graph", "eager"])
def test_no_step_no_refill_and_no_prefill_waits_for_the_device(route: str) -> None:
    config = ModelConfig.from_mapping(SHAPE)
    decoder = Decoder(config, torch.device("cuda"), torch.bfloat16)
    weights.initialise(decoder.named_weights(), config.n_layers, 0)
    session = Session(decoder, 4, 192, route=route)
    assert session.facts()["route"] == route, session.facts()["fallbacks"]
    prompts = [[(7 * row + place) % 8192 for place in range(96)] for row in range(4)]
    session.prefill(prompts)
    session.step()
    session.refill(1, prompts[0])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(16):
            session.step()
        session.refill(1, prompts[2][:40])
        session.step()
        session.prefill(prompts)
        session.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert session.facts()["recompiles"] == 0
    assert session.facts()["steps"] == 19

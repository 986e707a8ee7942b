"""Work behind one token of each kind of workload, by hand. < 1 s."""

from dataclasses import replace
from typing import Any

import pytest

from bench.catalogue import load_gpu
from bench.predict.expected import expected_joules
from bench.records.market import ModelConfig
from bench.roofline import decode_work, prefill_work
from bench.utilisation import Peaks, TokenWork, cost, measured_peaks, shares, work_of

H200 = Peaks(4.8e12, 989e12)


@pytest.fixture
def served(model: ModelConfig) -> TokenWork:
    """64 slots, 1024 tokens in and 256 out."""
    return TokenWork(
        model.config, "bf16", 2.0, batch=64, mean_context=1152.0, prompt=1024, output=256
    )


def test_a_served_token_carries_its_part_of_a_prefill(
    model: ModelConfig, served: TokenWork
) -> None:
    step, fill = decode_work(model.config, 64, 1152.0), prefill_work(model.config, 1024)
    found = cost(served)
    assert found.flops == pytest.approx(step.flops / 64 + fill.flops / 256)
    assert found.useful_bytes == pytest.approx(step.bytes / 64 + fill.bytes / 256)
    assert found.moved_bytes == found.useful_bytes
    least = shares(served, 1.0, H200).least_s
    apart = step.seconds(4.8e12, 989e12) / 64 + fill.seconds(4.8e12, 989e12) / 256
    assert least == pytest.approx(apart)


def test_a_prompts_own_token_is_its_share_of_the_prefill(model: ModelConfig) -> None:
    work = TokenWork(model.config, "bf16", 2.0, prompt=2048)
    fill = prefill_work(model.config, 2048)
    assert cost(work).flops == pytest.approx(fill.flops / 2048)
    full_speed = shares(work, 2048 / fill.seconds(4.8e12, 989e12), H200)
    assert full_speed.roofline_fraction == pytest.approx(1.0)
    assert full_speed.mfu == pytest.approx(1.0, rel=1e-6)


def test_padding_and_windows_count_as_moved_alone(served: TokenWork) -> None:
    windowed = {**served.model, "sliding_window": 128, "window_every": 2}
    work = replace(served, model=windowed, padded_context=1153.0, prompt=None, output=None)
    found = cost(work)
    plain = cost(replace(work, model=served.model))
    assert found.useful_bytes < plain.useful_bytes
    assert found.moved_bytes == plain.moved_bytes == pytest.approx(plain.useful_bytes)


def test_quantised_weights_weigh_what_was_told(served: TokenWork) -> None:
    alone = replace(served, batch=1, mean_context=0.0, prompt=None, output=None)
    plain, told = cost(alone), cost(replace(alone, precision="odd", bytes_per_weight=0.5))
    assert plain.useful_bytes - told.useful_bytes == pytest.approx(1.5 * 7_504_658_432)


@pytest.mark.parametrize(
    "roofs", [None, {}, {"read_bytes_per_s": 1e12, "gemm_flops": None}, {"gemm_flops": 1e12}]
)
def test_half_a_pair_of_roofs_is_none(roofs: Any) -> None:
    assert measured_peaks({"roofs": roofs}) is None
    assert work_of({}) is None


@pytest.mark.parametrize(
    ("card", "batch", "published"), [("h100", 8, 0.455), ("h100", 64, 0.119), ("h100", 256, 0.077)]
)
def test_expected_joules_are_within_two_of_published_ones(
    model: ModelConfig, card: str, batch: int, published: float
) -> None:
    """ML.ENERGY, Llama 3.1 8B on H100, vLLM 0.11: J per generated token."""
    gpu = load_gpu(card)
    work = TokenWork(model.config, "bf16", 2.0, batch=batch, mean_context=700.0)
    peaks = Peaks(gpu.bandwidth_bytes_per_s.value, 989e12)
    expected = expected_joules(work, peaks, gpu, None)
    assert expected is not None
    assert 0.5 <= expected / published <= 2
    limited = expected_joules(work, peaks, gpu, 350.0)
    assert limited == pytest.approx(expected * 350 / (0.85 * 700))
    assert expected_joules(replace(work, precision="nvfp4"), peaks, gpu, None) is None

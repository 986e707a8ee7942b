import json
from collections.abc import Callable

import pytest
import torch

from bench.kernels.decoder import data_profile
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

Build = Callable[..., Decoder]


def figures(decoder: Decoder) -> dict[str, object]:
    prompts = data_profile.prompts(decoder.config, 8, 24, 0, None)
    session = Session(decoder, 8, 48)
    session.prefill(prompts)
    profile = data_profile.profile(session, decoder.named_weights())
    assert session.tokens.tolist() == session.history[:, 24].tolist()
    assert session.span == 24
    json.dumps(profile, allow_nan=False)
    return profile


def test_fan_in_noise_looks_like_a_model(build: Build) -> None:
    profile = figures(build(d_model=256, d_ffn=512, n_layers=3))
    assert profile["toggles"] == pytest.approx(5.6, abs=0.2)
    assert profile["logit_std"] == pytest.approx(1.0, abs=0.15)
    assert profile["distinct_rows"] == 8
    assert profile["degenerate"] == []


def test_degenerate_data_is_reported_not_raised(build: Build) -> None:
    decoder = build()
    for tensor in decoder.named_weights().values():
        tensor.fill_(0.01)
    profile = figures(decoder)
    assert profile["toggles"] == 0.0
    assert profile["distinct_rows"] == 1
    assert len(profile["degenerate"]) == 2  # type: ignore[arg-type]
    decoder.named_weights()["model.norm.weight"].fill_(torch.inf)
    assert figures(decoder)["logit_std"] is None


def test_toggles_count_bits_between_neighbours() -> None:
    words = torch.tensor([[0, -1, -1, 1]], dtype=torch.int16).view(torch.bfloat16)
    assert data_profile.mean_toggles({"w": words, "norm": torch.ones(4)}) == (16 + 0 + 15) / 3


def test_prompts_are_distinct_and_cut_from_text_when_there_is_one(build: Build) -> None:
    config = build().config
    text = bytes(range(32, 127)) * 3
    cut = data_profile.prompts(config, 6, 20, 1, text[:120])
    assert len({tuple(prompt) for prompt in cut}) == 6
    assert all(bytes(prompt) in text for prompt in cut)
    assert cut == data_profile.prompts(config, 6, 20, 1, text[:120])
    drawn = data_profile.prompts(config, 6, 20, 1, b"too short")
    assert len({tuple(prompt) for prompt in drawn}) == 6
    assert max(map(max, drawn)) < config.vocab_size

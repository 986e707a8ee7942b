"""Hugging Face transformers as an independent judge of both paths, with the same weights."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.kernels.decoder import reference
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

SCALING = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

CASES: dict[str, dict[str, Any]] = {
    "grouped": {},
    "multi-head": {"n_kv_heads": 4},
    "tied": {"tied_head": True},
    "wide base": {"rope_theta": 500000.0, "norm_eps": 1e-6},
    "llama 3.1 scaling": {"rope_theta": 5000.0, "rope_scaling": SCALING},
    "wide heads": {"head_dim": 32},
    "qk-norm": {"qk_norm": True},
    "sliding window": {"sliding_window": 9},
}


@pytest.fixture(scope="module")
def transformers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside transformers' own imports
        return pytest.importorskip("transformers")


def theirs(transformers: Any, config: ModelConfig, weights: dict[str, torch.Tensor]) -> Any:
    """Their model of the same shape: Llama, Qwen3 for qk-norm, Mistral for a sliding window."""
    family = "Qwen3" if config.qk_norm else "Mistral" if config.sliding_window else "Llama"
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        rope |= {"rope_type": "llama3", **config.rope_scaling}
    extra = {"sliding_window": config.sliding_window} if family == "Mistral" else {}
    made = getattr(transformers, f"{family}Config")(
        vocab_size=config.vocab_size,
        hidden_size=config.d_model,
        intermediate_size=config.d_ffn,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        num_key_value_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_context,
        rms_norm_eps=config.norm_eps,
        rope_parameters=rope,
        tie_word_embeddings=config.tied_head,
        attn_implementation="eager",
        **extra,
    )
    model = getattr(transformers, f"{family}ForCausalLM")(made).eval()
    state = dict(weights)
    if config.tied_head:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_those_of_transformers(
    case: str, transformers: Any, build: Callable[..., Decoder]
) -> None:
    decoder = build(**CASES[case])
    config, weights = decoder.config, decoder.named_weights()
    for name, tensor in weights.items():
        if tensor.dim() == 1:  # norms other than 1, so that a forgotten one shows
            tensor.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    tokens = torch.randint(256, (2, 100), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = theirs(transformers, config, weights)(tokens).logits
        plain = reference.logits(config, weights, tokens)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)

    session = Session(decoder, 2, 100)
    session.prefill(tokens[:, :60].tolist())
    torch.testing.assert_close(session.logits, expected[:, 59], rtol=1e-4, atol=1e-4)
    for place in range(60, 100):
        session.tokens.copy_(tokens[:, place])
        session.step()
        torch.testing.assert_close(session.logits, expected[:, place], rtol=1e-4, atol=1e-4)


def test_the_reference_does_not_depend_on_its_query_blocks(
    build: Callable[..., Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = build(sliding_window=20)
    tokens = torch.randint(256, (1, 50), generator=torch.Generator().manual_seed(5))
    whole = reference.logits(decoder.config, decoder.named_weights(), tokens)
    monkeypatch.setattr(reference, "QUERIES", 16)
    blocks = reference.logits(decoder.config, decoder.named_weights(), tokens)
    torch.testing.assert_close(blocks, whole, rtol=1e-5, atol=1e-5)

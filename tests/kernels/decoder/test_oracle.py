"""Hugging Face transformers as an independent judge of both paths, with the same weights."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.catalogue import model_from_weights
from bench.kernels.decoder import reference
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.weights import load

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
    "windows in turn": {"qk_norm": True, "sliding_window": 9, "window_every": 2, "n_layers": 3},
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
    extra: dict[str, Any] = {}
    if config.sliding_window is not None:
        extra = {"sliding_window": config.sliding_window}
    if family == "Qwen3" and extra:
        windows = [config.window(index) for index in range(config.n_layers)]
        kinds = ["full_attention" if window is None else "sliding_attention" for window in windows]
        extra |= {"use_sliding_window": True, "layer_types": kinds}
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
        with torch.inference_mode():
            session.tokens.copy_(tokens[:, place])
        session.step()
        torch.testing.assert_close(session.logits, expected[:, place], rtol=1e-4, atol=1e-4)


SHAPE: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
MIXTURE = {"num_experts_per_tok": 2, "num_hidden_layers": 1}
SAVED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 3.1 scaling": (
        "Llama",
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5000.0, **SCALING}},
    ),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "mistral": ("Mistral", {"sliding_window": 9}),
    "mixtral": ("Mixtral", {"num_local_experts": 8, "sliding_window": None, **MIXTURE}),
    "qwen3 mixture": (
        "Qwen3Moe",
        {"head_dim": 16, "num_experts": 8, "moe_intermediate_size": 48, "norm_topk_prob": True}
        | MIXTURE,
    ),
}


@pytest.mark.parametrize("case", SAVED)
def test_what_transformers_saves_is_loaded_and_gives_its_logits(
    case: str, transformers: Any, tmp_path: Path
) -> None:
    """From their writer, in shards, through the path that users' own weights take."""
    family, changes = SAVED[case]
    made = getattr(transformers, f"{family}Config")(**SHAPE | changes, attn_implementation="eager")
    model = getattr(transformers, f"{family}ForCausalLM")(made).eval()
    generator = torch.Generator().manual_seed(7)
    for tensor in model.parameters():  # norms other than 1, logits of a spread that tells
        if tensor.dim() == 1:
            tensor.data.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.data.normal_(0.0, tensor.shape[-1] ** -0.5, generator=generator)
    model.save_pretrained(tmp_path / "m", max_shard_size="100KB")
    assert len(list((tmp_path / "m").glob("*.safetensors"))) > 2

    told = model_from_weights(tmp_path / "m")
    config = ModelConfig.from_mapping({"name": told.name, **told.config})
    decoder = Decoder(config, torch.device("cpu"), torch.float32)
    named = decoder.named_weights()
    load(named, tmp_path / "m")
    tokens = torch.randint(256, (2, 50), generator=generator)
    with torch.no_grad():
        expected = model(tokens).logits
        plain = reference.logits(config, named, tokens)
    assert float(expected.std()) > 0.3
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)
    session = Session(decoder, 2, 50)
    session.prefill(tokens[:, :30].tolist())
    torch.testing.assert_close(session.logits, expected[:, 29], rtol=1e-4, atol=1e-4)
    for place in range(30, 50):
        with torch.inference_mode():
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

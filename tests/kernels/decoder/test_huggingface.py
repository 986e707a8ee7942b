"""Configurations of real models are read; what the decoder does not build is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.kernels.decoder.header import WeightsError
from bench.kernels.decoder.huggingface import load_table, model_config

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
}
LLAMA = SIZES | {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu"}
MISTRAL = SIZES | {"architectures": ["MistralForCausalLM"], "sliding_window": 32}
QWEN3 = SIZES | {"architectures": ["Qwen3ForCausalLM"], "head_dim": 16, "sliding_window": None}
MIXTURE = {"num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": True}
QWEN3_MOE = QWEN3 | MIXTURE | {"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8}
MIXTRAL = MISTRAL | {
    "architectures": ["MixtralForCausalLM"],
    "sliding_window": None,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def without(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def test_a_llama_is_read_whole() -> None:
    told = LLAMA | {"rope_scaling": LLAMA3, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    config = model_config(told, "mine")
    assert config.name == "mine"
    assert (config.n_layers, config.d_model, config.d_ffn) == (2, 64, 96)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (4, 2, 16)
    assert config.tied_head
    assert not config.qk_norm
    assert config.rope_scaling == {k: v for k, v in LLAMA3.items() if k != "rope_type"}


def test_the_two_ways_of_writing_rope_are_one() -> None:
    new = without(LLAMA, "rope_theta")
    new["rope_parameters"] = LLAMA3 | {"rope_theta": 5e5}
    old = LLAMA | {"rope_theta": 5e5, "rope_scaling": without(LLAMA3, "rope_type")}
    old["rope_scaling"]["type"] = "llama3"
    assert model_config(new, "m") == model_config(old, "m")


def test_llama_2_may_leave_out_what_it_was_released_before() -> None:
    config = model_config(without(LLAMA, "num_key_value_heads", "rope_theta"), "m")
    assert (config.n_kv_heads, config.rope_theta) == (4, 10000.0)


def test_each_family_brings_its_own() -> None:
    assert model_config(MISTRAL, "m").sliding_window == 32
    assert model_config(MISTRAL | {"sliding_window": None}, "m").sliding_window is None
    assert model_config(QWEN3, "m").qk_norm
    mixtral, qwen = model_config(MIXTRAL, "m"), model_config(QWEN3_MOE, "m")
    assert (mixtral.n_experts, mixtral.experts_per_token, mixtral.d_ffn) == (8, 2, 96)
    assert (qwen.n_experts, qwen.experts_per_token, qwen.d_ffn) == (8, 2, 48)
    assert qwen.qk_norm
    assert not mixtral.qk_norm


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (LLAMA | {"architectures": ["GptOssForCausalLM"]}, "GptOssForCausalLM is not known; known"),
        (LLAMA | {"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM is not known"),
        (LLAMA | {"architectures": ["LlamaForCausalLM"] * 2}, "is not known"),
        (without(LLAMA, "architectures"), "architecture None is not known"),
        (LLAMA | {"hidden_act": "gelu"}, "hidden_act gelu is not built; only silu is"),
        (LLAMA | {"attention_bias": True}, "attention_bias True is not built"),
        (LLAMA | {"mlp_bias": True}, "mlp_bias True is not built"),
        (LLAMA | {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        (QWEN3 | {"use_sliding_window": True}, "use_sliding_window True is not built"),
        (QWEN3 | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types other"),
        (MISTRAL | {"layer_types": ["full_attention"] * 2}, "layer_types other than sliding"),
        (LLAMA | {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        (LLAMA | {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        (LLAMA | {"rope_scaling": LLAMA3 | {"rope_type": "yarn"}}, "rope_scaling of type yarn"),
        (LLAMA | {"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling of type linear"),
        (LLAMA | {"rope_scaling": "llama3"}, "rope_scaling must be a table"),
        (LLAMA | {"rope_scaling": without(LLAMA3, "factor")}, "rope_scaling must have exactly"),
        (LLAMA | {"rope_scaling": LLAMA3 | {"factor": 0}}, "rope_scaling.factor must be"),
        (without(LLAMA, "vocab_size"), "key vocab_size is missing"),
        (without(LLAMA, "max_position_embeddings"), "key max_position_embeddings is missing"),
        (without(MISTRAL, "sliding_window"), "key sliding_window is missing"),
        (without(MISTRAL, "num_key_value_heads"), "key num_key_value_heads is missing"),
        (without(QWEN3, "head_dim"), "key head_dim is missing"),
        (without(QWEN3, "rope_theta"), "key rope_theta is missing"),
        (QWEN3_MOE | {"norm_topk_prob": False}, "norm_topk_prob must be true"),
        (without(QWEN3_MOE, "norm_topk_prob"), "norm_topk_prob must be true"),
        (QWEN3_MOE | {"mlp_only_layers": [0]}, "mlp_only_layers"),
        (QWEN3_MOE | {"decoder_sparse_step": 2}, "decoder_sparse_step 2 is not built"),
        (QWEN3_MOE | {"num_experts_per_tok": 9}, "experts_per_token 9 exceeds n_experts 8"),
        (without(MIXTRAL, "num_local_experts"), "key num_local_experts is missing"),
        (LLAMA | {"hidden_size": "64"}, "hidden_size and num_attention_heads must be counts"),
        (LLAMA | {"hidden_size": 66}, "hidden_size 66 is no multiple of 4 heads"),
        (LLAMA | {"num_attention_heads": 0}, "must be counts"),
        (LLAMA | {"num_hidden_layers": 10**9}, "n_layers must be at most 1024"),
        (LLAMA | {"vocab_size": 10**12}, "vocab_size must be at most"),
        (LLAMA | {"vocab_size": -1}, "vocab_size must be a whole number above 0"),
        (LLAMA | {"rms_norm_eps": "small"}, "norm_eps must be a number above 0"),
        (LLAMA | {"tie_word_embeddings": "yes"}, "tied_head must be true or false"),
    ],
)
def test_what_is_not_built_is_refused_by_name(table: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError) as caught:
        model_config(table, "m")
    text = str(caught.value)
    assert text.startswith("config.json: ")
    assert said in text
    assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not a model's configuration"),
        (b"[]", "no table"),
        (b"[" * 100_000, "nests too deeply"),
        (b'{"vocab_size": 1, "vocab_size": 2}', "key vocab_size stands twice"),
        (b'{"rms_norm_eps": NaN}', "NaN is no JSON number"),
        (b"\xff\xfe\x00", "not a model's configuration"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "no table below 1 MB"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(text)
    with pytest.raises(WeightsError, match=r"config\.json: not a model") as caught:
        load_table(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sound_configuration_is_read_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    assert load_table(file) == LLAMA
    with pytest.raises(WeightsError, match="No such file"):
        load_table(tmp_path / "nowhere.json")

"""A Hugging Face ``config.json`` → the fields of ``ModelConfig``; what the decoder does not build
is refused by name, never approximated. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .config import LLAMA3_SCALING, ModelConfig
from .header import WeightsError, shown, strict_json

CONFIG = "config.json"
MAX_CONFIG = 1 << 20
ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
)
_SIZES = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "vocab_size": "vocab_size",
    "max_context": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
}
_ONLY: dict[str, tuple[Any, ...]] = {  # what each key may say, absent included
    "hidden_act": (None, "silu"),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "quantization_config": (None,),
    "use_sliding_window": (None, False),
    "partial_rotary_factor": (None, 1.0),
    "decoder_sparse_step": (None, 1),
    "mlp_only_layers": (None, []),
}


def load_table(path: Path) -> dict[str, Any]:
    """The JSON table of a ``config.json``; WeightsError where it is none."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_CONFIG + 1)
        table = strict_json(text) if len(text) <= MAX_CONFIG else None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"{path}: not a model's configuration ({shown(why)})") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path}: not a model's configuration (no table below 1 MB)")
    return table


def model_config(table: Mapping[str, Any], name: str) -> ModelConfig:
    """The decoder that a ``config.json`` describes, of one of ``ARCHITECTURES``.

    Keys and defaults are those of transformers 4 and 5; a default that they give one family alone
    is not relied on, the key is asked for. Raises WeightsError naming the key.
    """
    kind = _architecture(table)
    if problem := next(_unbuilt(table, kind), None):
        raise WeightsError(f"{CONFIG}: {problem}")
    values = {field: _need(table, key) for field, key in _SIZES.items()}
    rope = _rope(table, kind)
    try:
        return ModelConfig.from_mapping(
            {
                "name": name,
                **values,
                **_heads(table, kind),
                **_mlp(table, kind),
                **rope,
                "tied_head": table.get("tie_word_embeddings") or False,
                "qk_norm": kind.startswith("Qwen3"),
                "sliding_window": _window(table, kind),
            }
        )
    except ValueError as error:
        raise WeightsError(f"{CONFIG}: {shown(str(error))}") from error


def _architecture(table: Mapping[str, Any]) -> str:
    named = table.get("architectures")
    kind = named[0] if isinstance(named, list) and len(named) == 1 else named
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise WeightsError(
            f"{CONFIG}: architecture {shown(str(kind))} is not known; known: {known}"
        )
    return str(kind)


def _unbuilt(table: Mapping[str, Any], kind: str) -> Iterator[str]:
    """What the table asks for and the decoder has not."""
    for key, allowed in _ONLY.items():
        if table.get(key) not in allowed:
            yield f"{key} {shown(str(table[key]))} is not built; only {allowed[-1]} is"
    if kind == "Qwen3MoeForCausalLM" and table.get("norm_topk_prob") is not True:
        yield "norm_topk_prob must be true: shares that do not add up to 1 are not built"
    layers = table.get("layer_types")
    whole = "full_attention" if _window(table, kind) is None else "sliding_attention"
    if layers is not None and (not isinstance(layers, list) or any(x != whole for x in layers)):
        yield f"layer_types other than {whole} throughout are not built"


def _need(table: Mapping[str, Any], key: str) -> Any:
    if table.get(key) is None:
        raise WeightsError(f"{CONFIG}: key {key} is missing")
    return table[key]


def _heads(table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Query heads share KV heads; Llama alone may leave either size to be worked out."""
    heads, width = table["num_attention_heads"], table["hidden_size"]
    if not all(type(count) is int and count > 0 for count in (heads, width)):
        raise WeightsError(f"{CONFIG}: hidden_size and num_attention_heads must be counts")
    old = kind == "LlamaForCausalLM" and table.get("num_key_value_heads") is None
    head_dim = table.get("head_dim")
    if head_dim is None and kind.startswith("Qwen3"):
        raise WeightsError(f"{CONFIG}: key head_dim is missing")
    if head_dim is None and width % heads:
        raise WeightsError(f"{CONFIG}: hidden_size {width} is no multiple of {heads} heads")
    return {
        "n_kv_heads": heads if old else _need(table, "num_key_value_heads"),
        "head_dim": width // heads if head_dim is None else head_dim,
    }


def _mlp(table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind not in ("MixtralForCausalLM", "Qwen3MoeForCausalLM"):
        return {"d_ffn": _need(table, "intermediate_size")}
    qwen = kind == "Qwen3MoeForCausalLM"
    experts = table.get("num_experts") if qwen else None
    return {
        "d_ffn": _need(table, "moe_intermediate_size" if qwen else "intermediate_size"),
        "n_experts": _need(table, "num_local_experts") if experts is None else experts,
        "experts_per_token": _need(table, "num_experts_per_tok"),
    }


def _rope(table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """transformers 5 writes ``rope_parameters``, 4 ``rope_theta`` and ``rope_scaling``."""
    scaling = table.get("rope_parameters") or table.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise WeightsError(f"{CONFIG}: rope_scaling must be a table")
    theta = scaling.get("rope_theta", table.get("rope_theta"))
    if theta is None and kind == "LlamaForCausalLM":
        theta = 10000.0  # Llama 2 was released before the key
    if theta is None:
        raise WeightsError(f"{CONFIG}: key rope_theta is missing")
    form = scaling.get("rope_type", scaling.get("type", "default"))
    if scaling.get("partial_rotary_factor") not in (None, 1.0):
        raise WeightsError(f"{CONFIG}: partial_rotary_factor other than 1 is not built")
    if form == "default":
        return {"rope_theta": theta}
    if form != "llama3":
        what = shown(str(form))
        raise WeightsError(f"{CONFIG}: rope_scaling of type {what} is not built; only llama3 is")
    told = {key: scaling[key] for key in LLAMA3_SCALING if key in scaling}
    return {"rope_theta": theta, "rope_scaling": told}


def _window(table: Mapping[str, Any], kind: str) -> Any:
    """Mistral and Mixtral say it, null for none; the other families have none that is built."""
    if kind not in ("MistralForCausalLM", "MixtralForCausalLM"):
        return None
    if "sliding_window" not in table:
        raise WeightsError(f"{CONFIG}: key sliding_window is missing (null is none)")
    return table["sliding_window"]

"""The shape of a decoder as data, parsed once and refused in one line when it cannot be.

Needs no torch, so that a plan can be checked before anything heavy is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

LLAMA3_SCALING = (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
)
_MOST = {"n_layers": 1024, "n_experts": 1024}  # a typing error, not a model, lies above
_MOST_SIZE = 1 << 24
PRECISIONS = ("fp32", "bf16", "fp8", "int4")
"""The ladder: how the weights of the blocks are stored and multiplied."""
KINDS = ("zeros", "uniform01", "uniform1e-3", "normal", "fan-in")
"""What weights may be drawn from where none are given; "fan-in" looks like a trained model's."""
REAL = "real"
"""The kind of weights that were given."""
_SIZES = (
    "n_layers",
    "d_model",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "d_ffn",
    "vocab_size",
    "max_context",
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A decoder: sizes in elements, ``max_context`` in tokens.

    ``n_kv_heads`` below ``n_heads`` is grouped-query attention; ``rope_scaling`` holds the
    Llama 3.1 keys of ``LLAMA3_SCALING``; ``sliding_window`` is how many tokens a query sees,
    itself included, in every ``window_every``-th layer from the first on. With ``n_experts`` every
    layer is a mixture: ``experts_per_token`` are chosen for each token and ``d_ffn`` is the width
    of one. Raises ValueError for a shape that no decoder can have.
    """

    name: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ffn: int
    vocab_size: int
    max_context: int
    rope_theta: float = 10000.0
    rope_scaling: dict[str, float] | None = None
    norm_eps: float = 1e-5
    tied_head: bool = False
    qk_norm: bool = False
    sliding_window: int | None = None
    window_every: int = 1
    n_experts: int | None = None
    experts_per_token: int | None = None

    def __post_init__(self) -> None:
        if problem := next(_problems(self), None):
            raise ValueError(f"model {self.name!r}: {problem}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Parse a mapping whose keys are the fields; ValueError names what is wrong."""
        known = {field.name: field.default is MISSING for field in fields(cls)}
        name = values.get("name", "?")
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"model {name!r}: unknown key {', '.join(unknown)}")
        if missing := [key for key, needed in known.items() if needed and key not in values]:
            raise ValueError(f"model {name!r}: missing key {', '.join(missing)}")
        return cls(**values)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor by its Hugging Face name, in the order of the forward pass."""
        d, q, kv = self.d_model, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        named: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}
        for index in range(self.n_layers):
            layer = f"model.layers.{index}."
            named[layer + "input_layernorm.weight"] = (d,)
            named[layer + "self_attn.q_proj.weight"] = (q, d)
            named[layer + "self_attn.k_proj.weight"] = (kv, d)
            named[layer + "self_attn.v_proj.weight"] = (kv, d)
            if self.qk_norm:
                named[layer + "self_attn.q_norm.weight"] = (self.head_dim,)
                named[layer + "self_attn.k_norm.weight"] = (self.head_dim,)
            named[layer + "self_attn.o_proj.weight"] = (d, q)
            named[layer + "post_attention_layernorm.weight"] = (d,)
            if self.n_experts is not None:
                named[layer + "mlp.gate.weight"] = (self.n_experts, d)
            for mlp in self.mlps():
                named[f"{layer}{mlp}.gate_proj.weight"] = (self.d_ffn, d)
                named[f"{layer}{mlp}.up_proj.weight"] = (self.d_ffn, d)
                named[f"{layer}{mlp}.down_proj.weight"] = (d, self.d_ffn)
        named["model.norm.weight"] = (d,)
        if not self.tied_head:
            named["lm_head.weight"] = (self.vocab_size, d)
        return named

    def mlps(self) -> list[str]:
        """The gated MLPs of a layer by their names within it: one, or the experts."""
        if self.n_experts is None:
            return ["mlp"]
        return [f"mlp.experts.{expert}" for expert in range(self.n_experts)]

    def window(self, layer: int) -> int | None:
        """How many tokens a query of that layer sees, itself included; None is all before it."""
        return None if layer % self.window_every else self.sliding_window

    def n_params(self) -> int:
        """Parameters stored, a tied head counted once."""
        return sum(map(math.prod, self.shapes().values()))

    def n_active(self) -> int:
        """Parameters that take part in one token: the head, but no embedding row, and of the
        experts those chosen.
        """
        idle = 0 if self.tied_head else self.vocab_size * self.d_model
        if self.n_experts is not None and self.experts_per_token is not None:
            unchosen = self.n_layers * (self.n_experts - self.experts_per_token)
            idle += unchosen * 3 * self.d_model * self.d_ffn
        return self.n_params() - idle

    def kv_elements_per_token(self) -> int:
        """Elements of key and value that one cached token takes over all layers."""
        return 2 * self.n_layers * self.n_kv_heads * self.head_dim


def _problems(config: ModelConfig) -> Iterator[str]:
    """Lazily, so that a later rule may rely on the earlier ones."""
    yield from _size_problems(config)
    for key in ("rope_theta", "norm_eps"):
        value = getattr(config, key)
        if not _is_positive(value):
            yield f"{key} must be a number above 0, not {value!r}"
    for key in ("tied_head", "qk_norm"):
        if not isinstance(getattr(config, key), bool):
            yield f"{key} must be true or false, not {getattr(config, key)!r}"
    if not isinstance(config.name, str) or not config.name:
        yield "name must be a non-empty string"
    if config.n_heads % config.n_kv_heads:
        yield f"n_heads {config.n_heads} is not a multiple of n_kv_heads {config.n_kv_heads}"
    if config.head_dim % 2:
        yield f"head_dim must be even for rotary positions, not {config.head_dim}"
    if config.sliding_window is not None and not _is_count(config.sliding_window):
        yield f"sliding_window must be a whole number above 0, not {config.sliding_window!r}"
    yield from _expert_problems(config)
    if config.rope_scaling is not None:
        yield from _scaling_problems(config.rope_scaling)


def _size_problems(config: ModelConfig) -> Iterator[str]:
    for key in (*_SIZES, "window_every"):
        value = getattr(config, key)
        if not _is_count(value):
            yield f"{key} must be a whole number above 0, not {value!r}"
        elif value > _MOST.get(key, _MOST_SIZE):
            yield f"{key} must be at most {_MOST.get(key, _MOST_SIZE)}, not {value}"


def _expert_problems(config: ModelConfig) -> Iterator[str]:
    experts, chosen = config.n_experts, config.experts_per_token
    if experts is None and chosen is None:
        return
    for key, value in (("n_experts", experts), ("experts_per_token", chosen)):
        if not _is_count(value):
            yield f"{key} must be a whole number above 0 (a mixture needs both), not {value!r}"
    if experts is not None and experts > _MOST["n_experts"]:
        yield f"n_experts must be at most {_MOST['n_experts']}, not {experts}"
    if experts is not None and chosen is not None and chosen > experts:
        yield f"experts_per_token {chosen} exceeds n_experts {experts}"


def _scaling_problems(scaling: object) -> Iterator[str]:
    if not isinstance(scaling, dict) or set(scaling) != set(LLAMA3_SCALING):
        yield f"rope_scaling must have exactly the keys {', '.join(LLAMA3_SCALING)}"
        return
    for key, value in scaling.items():
        if not _is_positive(value):
            yield f"rope_scaling.{key} must be a number above 0, not {value!r}"
    if scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
        yield "rope_scaling.high_freq_factor must exceed low_freq_factor"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf

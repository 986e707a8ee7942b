"""The decoder that is timed: fused projections and a preallocated KV cache of static shape.

Prefill attends within the prompt; a step attends to the cache. Positions live on the device, so
a step can later be captured as a graph. Loops, weights and checks are elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .config import ModelConfig
from .moe import Experts
from .precision import Quantised, product
from .products import dense, once
from .reference import Rounded, unrounded

Attend = Callable[[int, Tensor], Tensor]


class KVCache:
    """Keys and values, [2, B, G, T, head_dim] a layer; slot t of row b is its token at position t.

    Every layer has a tensor of its own, or compiled code could not write one in place. One slot
    more than ``capacity`` keeps the longest span a part of it: the whole would be compiled anew.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (2, batch, config.n_kv_heads, capacity + 1, config.head_dim)
        self.slots = [
            torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)
        ]
        self.places = torch.arange(capacity + 1, device=device)
        self.rows = torch.arange(batch, device=device)

    @property
    def capacity(self) -> int:
        """Slots per row."""
        return self.slots[0].shape[3] - 1

    def write_prompt(self, layer: int, first_row: int, kv: Tensor) -> None:
        """Store kv [B', S, 2, G, head_dim] at positions 0…S−1 of rows from ``first_row`` on."""
        rows, length = kv.shape[:2]
        self.slots[layer][:, first_row : first_row + rows, :, :length] = kv.permute(2, 0, 3, 1, 4)

    def write_step(self, layer: int, positions: Tensor, kv: Tensor) -> None:
        """Store kv [B, 2, G, head_dim] at each row's own position [B]."""
        self.slots[layer][:, self.rows, :, positions] = kv

    def read(self, layer: int, span: int) -> tuple[Tensor, Tensor]:
        """Keys and values [B, G, span, head_dim] of the first ``span`` positions, as views."""
        keys, values = self.slots[layer][:, :, :, :span]
        return keys, values

    def fill_beyond(self, positions: Tensor, value: float) -> None:
        """Overwrite every slot of each row from its position [B] on."""
        beyond = (self.places >= positions[:, None])[None, :, None, :, None]
        for slots in self.slots:
            slots.masked_fill_(beyond, value)


class Layer(nn.Module):
    """Weights of one block, query‖key‖value and gate‖up each in one matrix, or its experts."""

    qkv: Tensor | Quantised
    o: Tensor | Quantised
    gate_up: Tensor | Quantised
    down: Tensor | Quantised
    q_norm: Tensor | None
    k_norm: Tensor | None
    experts: Experts | None

    def __init__(
        self, config: ModelConfig, device: torch.device, dtype: torch.dtype, hollow: bool
    ) -> None:
        super().__init__()

        def weight(*shape: int) -> nn.Parameter:
            empty = torch.empty(shape, device=device, dtype=dtype)
            return nn.Parameter(empty, requires_grad=False)

        d, hd = config.d_model, config.head_dim
        self.attention_norm = weight(d)
        self.q_norm = weight(hd) if config.qk_norm else None
        self.k_norm = weight(hd) if config.qk_norm else None
        self.mlp_norm = weight(d)
        self.experts = None
        if not hollow:
            self.qkv = weight((config.n_heads + 2 * config.n_kv_heads) * hd, d)
            self.o = weight(d, config.n_heads * hd)
        if config.n_experts is not None:
            self.experts = Experts(config, device, dtype)
        elif not hollow:
            self.gate_up = weight(2 * config.d_ffn, d)
            self.down = weight(d, config.d_ffn)

    def named(self, config: ModelConfig) -> dict[str, Tensor]:
        """Views of norms and 16- or 32-bit matrices under their Hugging Face names."""
        views = {
            "input_layernorm.weight": self.attention_norm.data,
            "post_attention_layernorm.weight": self.mlp_norm.data,
        }
        if self.q_norm is not None and self.k_norm is not None:
            views["self_attn.q_norm.weight"] = self.q_norm.data
            views["self_attn.k_norm.weight"] = self.k_norm.data
        for matrix, parts in fused(config).items():
            whole = getattr(self, matrix, None)
            if isinstance(whole, Tensor):
                views |= zip(parts, torch.split(whole.data, list(parts.values())), strict=True)
        return views if self.experts is None else views | self.experts.named()

    def mlp(self, x: Tensor) -> Tensor:
        """The gated MLP, or the mixture, of x [..., d]."""
        if self.experts is not None:
            return self.experts.forward(x)
        gate, up = product(x, self.gate_up).chunk(2, dim=-1)
        return product(F.silu(gate) * up, self.down)


def fused(config: ModelConfig) -> dict[str, dict[str, int]]:
    """Each matrix of a layer: the Hugging Face names it joins, with their rows; no experts."""
    d, q, kv = config.d_model, config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    attention = {
        "qkv": {f"self_attn.{n}_proj.weight": rows for n, rows in (("q", q), ("k", kv), ("v", kv))},
        "o": {"self_attn.o_proj.weight": d},
    }
    if config.n_experts is not None:
        return attention
    return attention | {
        "gate_up": {f"mlp.{name}_proj.weight": config.d_ffn for name in ("gate", "up")},
        "down": {"mlp.down_proj.weight": d},
    }


class Decoder(nn.Module):
    """A decoder of one configuration, device and compute type; its weights start unset.

    A ``hollow`` one has no matrices in its blocks. Whoever sets quantised ones also says what all
    weights stand for by name (``meaning``), what the products do to activations first
    (``rounded``), which is what a reference of it must know, and what was checked (``checks``).
    """

    def __init__(
        self,
        config: ModelConfig,
        device: torch.device,
        dtype: torch.dtype,
        *,
        hollow: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.meaning: Mapping[str, Tensor] | None = None
        self.rounded: Rounded = unrounded
        self.checks: tuple[tuple[str, bool, str], ...] = ()

        def weight(*shape: int) -> nn.Parameter:
            empty = torch.empty(shape, device=device, dtype=dtype)
            return nn.Parameter(empty, requires_grad=False)

        self.embedding = weight(config.vocab_size, config.d_model)
        layers = [Layer(config, device, dtype, hollow) for _ in range(config.n_layers)]
        self.layers = nn.ModuleList(layers)
        self.norm = weight(config.d_model)
        self.head = (
            self.embedding if config.tied_head else weight(config.vocab_size, config.d_model)
        )
        self.windows = {config.window(index) for index in range(config.n_layers)}
        cos, sin = rope_table(config)
        self.cos, self.sin = cos.to(device, dtype), sin.to(device, dtype)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights, activations and cache."""
        return self.embedding.dtype

    def plain_weights(self) -> dict[str, Tensor]:
        """Every weight that is not quantised under its Hugging Face name, as views: filling them
        fills the decoder.
        """
        named = {"model.embed_tokens.weight": self.embedding.data}
        for index, layer in enumerate(self.blocks()):
            for name, view in layer.named(self.config).items():
                named[f"model.layers.{index}.{name}"] = view
        named["model.norm.weight"] = self.norm.data
        if not self.config.tied_head:
            named["lm_head.weight"] = self.head.data
        return named

    def named_weights(self) -> Mapping[str, Tensor]:
        """Every weight under its Hugging Face name, a quantised one as what it stands for."""
        return self.plain_weights() if self.meaning is None else self.meaning

    def cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for ``batch`` rows of ``capacity`` positions."""
        return KVCache(self.config, batch, capacity, device=self.device, dtype=self.dtype)

    def prefill(self, tokens: Tensor, last: Tensor, cache: KVCache, first_row: int = 0) -> Tensor:
        """Cache prompts [B, S] from position 0; fp32 logits [B, V] at each row's ``last`` [B].

        Shorter prompts are padded on the right: what is cached beyond ``last`` is never attended
        to, because a step masks it until it has overwritten it.
        """
        length = tokens.shape[1]
        masks = {window: self._mask(length, window) for window in self.windows}

        def attend(index: int, heads: Tensor) -> Tensor:
            q, kv = self._split(heads)
            cache.write_prompt(index, first_row, kv)
            keys, values = kv.permute(2, 0, 3, 1, 4)
            mask = masks[self.config.window(index)]
            return prompt_attention(q.transpose(1, 2), keys, values, mask).transpose(1, 2)

        turns = self.cos[:length, None], self.sin[:length, None]
        hidden = self._blocks(self.embedding[tokens], turns, attend)
        return self._logits(hidden[torch.arange(len(tokens), device=self.device), last])

    def step(
        self, tokens: Tensor, positions: Tensor, cache: KVCache, span: int, ragged: bool
    ) -> Tensor:
        """fp32 logits [B, V] after tokens [B] at ``positions`` [B], which are cached.

        ``span`` is 1 + the largest position, so that attention reads no slot beyond it; ``ragged``
        says that positions differ between rows, so that slots beyond a row's own are masked.
        """
        seen = {window: self._seen(positions, span, ragged, window) for window in self.windows}

        def attend(index: int, heads: Tensor) -> Tensor:
            q, kv = self._split(heads[:, 0])
            cache.write_step(index, positions, kv)
            keys, values = cache.read(index, span)
            mask = seen[self.config.window(index)]
            return step_attention(q, keys, values, mask).unsqueeze(1)

        turns = self.cos[positions][:, None, None], self.sin[positions][:, None, None]
        hidden = self._blocks(self.embedding[tokens].unsqueeze(1), turns, attend)
        return self._logits(hidden[:, 0])

    def blocks(self) -> list[Layer]:
        """The layers, from the first."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _blocks(self, x: Tensor, turns: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """Hidden states [B, S, d] after every layer and the last norm."""
        for index, layer in enumerate(self.blocks()):
            heads = self._heads(layer, self._norm(x, layer.attention_norm), turns)
            x = x + product(attend(index, heads).flatten(2), layer.o)
            x = x + layer.mlp(self._norm(x, layer.mlp_norm))
        return self._norm(x, self.norm)

    def _heads(self, layer: Layer, h: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Heads [B, S, H + 2G, head_dim]: queries and keys normed and turned, then values."""
        n_q, n_kv = self.config.n_heads, self.config.n_kv_heads
        heads = product(h, layer.qkv).view(*h.shape[:2], -1, self.config.head_dim)
        turning = heads[:, :, : n_q + n_kv]
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = torch.split(turning, [n_q, n_kv], dim=2)
            turning = torch.cat([self._norm(q, layer.q_norm), self._norm(k, layer.k_norm)], dim=2)
        heads[:, :, : n_q + n_kv] = turn(turning, *turns)
        return heads

    def _split(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """[…, H + 2G, head_dim] -> queries […, H, head_dim], keys‖values […, 2, G, head_dim]."""
        n_q, n_kv = self.config.n_heads, self.config.n_kv_heads
        q, kv = torch.split(heads, [n_q, 2 * n_kv], dim=-2)
        return q, kv.view(*kv.shape[:-2], 2, n_kv, kv.shape[-1])

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.norm_eps)

    def _logits(self, hidden: Tensor) -> Tensor:
        return dense(hidden, self.head).float()

    def _mask(self, length: int, window: int | None) -> Tensor | None:
        """Mask [S, S] of a prompt longer than the sliding window; None is plainly causal."""
        if window is None or length <= window:
            return None
        ones = torch.ones(length, length, dtype=torch.bool, device=self.device)
        return ones.tril() & ones.triu(1 - window)

    def _seen(
        self, positions: Tensor, span: int, ragged: bool, window: int | None
    ) -> Tensor | None:
        """[B, span], true where a row sees a slot; None when every row sees all of them."""
        if not ragged and (window is None or span <= window):
            return None
        slots = torch.arange(span, device=self.device)
        seen = slots <= positions[:, None]
        if window is not None:
            seen &= slots > positions[:, None] - window
        return seen


def prompt_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Causal (or masked) attention of q [B, H, S, hd] to k, v [B, G, S, hd] -> [B, H, S, hd]."""
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=q.shape[1] != k.shape[1]
    )


def step_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """Attention of one query per row [B, H, hd] to k, v [B, G, span, hd] -> [B, H, hd].

    The queries that share a KV head form the query axis, so that no key is unpacked or copied.
    Where ``seen`` [B, span] is false even NaN must not pass, hence the zeros: 0 × NaN is NaN.
    """
    grouped = q.view(len(q), k.shape[1], -1, q.shape[-1])
    if seen is not None and torch.compiler.is_compiling():
        return spelt_attention(grouped, k, v, seen).flatten(1, 2)
    if seen is None:
        mixed = F.scaled_dot_product_attention(grouped, k, v)
    else:
        hidden = ~seen[:, None, :, None]
        k, v = k.masked_fill(hidden, 0.0), v.masked_fill(hidden, 0.0)
        mixed = F.scaled_dot_product_attention(grouped, k, v, attn_mask=seen[:, None, None])
    return mixed.flatten(1, 2)


def spelt_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Attention of grouped queries [B, G, H/G, hd], written out for the compiler to fuse.

    It masks where it loads, so that no masked copy of the cache is made.
    """
    held = seen[:, None, :, None]
    k, v = torch.where(held, k, 0.0), torch.where(held, v, 0.0)
    scores = (once(q)[:, :, :, None] * k[:, :, None]).sum(-1, dtype=torch.float32)
    scores = torch.where(seen[:, None, None], scores * q.shape[-1] ** -0.5, -math.inf)
    shares = once(scores.softmax(-1).to(v.dtype))
    return (shares[..., None] * v[:, :, None]).sum(-2)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on x […, head_dim] in Hugging Face's half-split order; ``sin`` carries the signs."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and signed sin [max_context, head_dim] in fp64 (RoFormer, arXiv 2104.09864)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    frequencies = config.rope_theta**-exponents
    if config.rope_scaling is not None:
        frequencies = llama3_frequencies(frequencies, config.rope_scaling)
    angles = torch.outer(torch.arange(config.max_context, dtype=torch.float64), frequencies)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=1), torch.cat([-sin, sin], dim=1)


def llama3_frequencies(frequencies: Tensor, scaling: Mapping[str, float]) -> Tensor:
    """Llama 3.1's stretch of the context: long waves slowed by ``factor``, short ones kept."""
    waves = 2 * math.pi / frequencies
    old = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    blend = (old / waves - low) / (high - low)
    blended = (1 - blend) * frequencies / scaling["factor"] + blend * frequencies
    slow, fast = waves > old / low, waves < old / high
    return torch.where(
        slow, frequencies / scaling["factor"], torch.where(fast, frequencies, blended)
    )

"""A mixture of experts with static shapes: which experts run is data on the device, so nothing
waits for the host and a step can be compiled and captured.

Routing as in Mixtral (arXiv 2401.04088): softmax over the chosen experts' scores alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .config import ModelConfig

DENSE_TOKENS = 256  # through every expert at once: bounds activations, above what fills a device


class Experts(nn.Module):
    """The router [E, d] and the experts of one layer, gate‖up [E, 2F, d] and down [E, d, F]."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        if config.n_experts is None or config.experts_per_token is None:
            raise ValueError(f"model {config.name!r} has no experts")

        def weight(*shape: int) -> nn.Parameter:
            empty = torch.empty(shape, device=device, dtype=dtype)
            return nn.Parameter(empty, requires_grad=False)

        self.chosen = config.experts_per_token
        self.grouped = has_grouped_products(config, device, dtype)
        self.router = weight(config.n_experts, config.d_model)
        self.gate_up = weight(config.n_experts, 2 * config.d_ffn, config.d_model)
        self.down = weight(config.n_experts, config.d_model, config.d_ffn)

    def named(self) -> dict[str, Tensor]:
        """Views under their Hugging Face names within a layer (those of Qwen3-MoE)."""
        views = {"mlp.gate.weight": self.router.data}
        for expert, (gate_up, down) in enumerate(
            zip(self.gate_up.data, self.down.data, strict=True)
        ):
            gate, up = gate_up.chunk(2)
            prefix = f"mlp.experts.{expert}."
            views[prefix + "gate_proj.weight"] = gate
            views[prefix + "up_proj.weight"] = up
            views[prefix + "down_proj.weight"] = down
        return views

    def forward(self, x: Tensor) -> Tensor:
        """The mixture's output [..., d] for x [..., d].

        Few tokens read the chosen experts alone; many are grouped by expert where the device has
        a kernel for it that takes its bounds from the device, and else run through all of them.
        """
        flat = x.flatten(0, -2)
        scores, experts = F.linear(flat.float(), self.router.float()).topk(self.chosen)
        shares = scores.softmax(-1)
        if experts.numel() <= len(self.router):
            mixed = _gathered(self, flat, experts, shares)
        elif self.grouped:
            mixed = _grouped(self, flat, experts, shares)
        else:
            mixed = _dense(self, flat, experts, shares)
        return mixed.to(x.dtype).view_as(x)


def _gathered(mlp: Experts, x: Tensor, experts: Tensor, shares: Tensor) -> Tensor:
    """Each token by its own experts' matrices: at most as many as there are, none read twice
    once compiled, where the gather becomes the product's load.
    """
    gate, up = _rows(mlp.gate_up[experts], x[:, None]).chunk(2, dim=-1)
    return (_rows(mlp.down[experts], F.silu(gate) * up) * shares[..., None]).sum(1)


def _rows(weights: Tensor, x: Tensor) -> Tensor:
    """[T, k, out] = weights [T, k, out, in] · x [T, k or 1, in]."""
    if torch.compiler.is_compiling():
        return (weights.float() * x[:, :, None].float()).sum(-1).to(x.dtype)
    return (weights @ x[..., None]).squeeze(-1)


def has_grouped_products(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether grouped_mm takes group bounds from the device: bf16 from Hopper on, in rows of a
    multiple of 16 bytes. Else torch loops on the host, which a captured graph cannot hold.

    Asked once: compiled code cannot ask a device for its capability.
    """
    return (
        device.type == "cuda"
        and dtype == torch.bfloat16
        and config.d_model % 8 == config.d_ffn % 8 == 0
        and torch.cuda.get_device_capability(device) >= (9, 0)
    )


def _grouped(mlp: Experts, x: Tensor, experts: Tensor, shares: Tensor) -> Tensor:
    """Pairs of token and expert sorted by expert, one product per expert in one launch."""
    pairs = experts.flatten()
    order = pairs.argsort(stable=True)
    every = torch.arange(len(mlp.router), device=x.device)
    ends = torch.searchsorted(pairs[order], every, right=True).to(torch.int32)
    tokens = order // mlp.chosen
    gate, up = F.grouped_mm(x[tokens], mlp.gate_up.mT, offs=ends).chunk(2, dim=-1)
    out = F.grouped_mm(F.silu(gate) * up, mlp.down.mT, offs=ends)
    weighed = out * shares.flatten()[order, None]
    by_token = torch.empty_like(weighed).index_copy(0, order, weighed)
    return by_token.view(len(x), mlp.chosen, -1).sum(1)


def _dense(mlp: Experts, x: Tensor, experts: Tensor, shares: Tensor) -> Tensor:
    """Every token through every expert, those not chosen weighed 0: E/k times the arithmetic."""
    every = torch.zeros(len(x), len(mlp.router), device=x.device).scatter_(1, experts, shares)
    mixed = []
    for first in range(0, len(x), DENSE_TOKENS):
        part = slice(first, first + DENSE_TOKENS)
        gate, up = (x[part] @ mlp.gate_up.mT).chunk(2, dim=-1)
        out = (F.silu(gate) * up) @ mlp.down.mT
        mixed.append(torch.einsum("etd,te->td", out.float(), every[part]))
    return torch.cat(mixed)

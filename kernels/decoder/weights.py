"""Weights into tensors that already exist: seeded power-honest noise, or real safetensors.

Shapes come from the configuration; nothing here knows how the decoder lays its tensors out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .header import WeightsError
from .stored import canonical, digests, sha256, survey

__all__ = ["SHIPPED", "WeightsError", "draw", "initialise", "load", "resolve", "sha256"]

SHIPPED = Path(__file__).parent / "weights"


def initialise(named: Mapping[str, Tensor], n_layers: int, seed: int, kind: str = "fan-in") -> None:
    """Fill tensors in place, seeded per tensor, on their device; ``draw`` says with what."""
    for name, tensor in named.items():
        draw(name, tensor, n_layers, seed, kind)


def draw(name: str, tensor: Tensor, n_layers: int, seed: int, kind: str) -> None:
    """Fill one tensor by a kind of ``config.KINDS``; norms are 1 whatever the kind.

    "fan-in" is N(0, 1/√fan_in), the output and down projections divided by √(2 L) (GPT-2's
    residual scaling) and the embedding N(0, 1): residuals, logits and bit patterns then look like
    a trained model's, which matters because power follows the data (arXiv 2409.18324). The others
    are what dummy weights are elsewhere: "zeros", "uniform01" U(0, 1), "uniform1e-3" U(±1e-3) and
    "normal" N(0, 1).
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator(tensor.device).manual_seed(int.from_bytes(digest[:7], "big"))
    if tensor.dim() == 1:
        tensor.fill_(1.0)
    elif kind == "zeros":
        tensor.zero_()
    elif kind == "uniform01":
        tensor.uniform_(0.0, 1.0, generator=generator)
    elif kind == "uniform1e-3":
        tensor.uniform_(-1e-3, 1e-3, generator=generator)
    else:
        std = 1.0 if kind == "normal" else _std(name, tensor, n_layers)
        tensor.normal_(0.0, std, generator=generator)


def _std(name: str, tensor: Tensor, n_layers: int) -> float:
    """Standard deviation of a matrix by its name."""
    if name == "model.embed_tokens.weight":
        return 1.0
    residual = name.endswith(("o_proj.weight", "down_proj.weight"))
    return 1.0 / math.sqrt(tensor.shape[1] * (2 * n_layers if residual else 1))


def resolve(weights: str) -> Path:
    """Where the weights are: "shipped:NAME", a directory or one .safetensors file."""
    if weights.startswith("shipped:"):
        path = SHIPPED / f"{weights.removeprefix('shipped:')}.safetensors"
        if path.parent != SHIPPED or not path.is_file():
            names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors")))
            raise WeightsError(f"no shipped weights called {weights!r}; there are: {names}")
        return path
    path = Path(weights)
    if not path.exists():
        raise WeightsError(f"no weights at {weights}: give a directory with .safetensors files")
    return path


def load(named: Mapping[str, Tensor], path: Path) -> dict[str, str]:
    """Copy Hugging Face safetensors into ``named`` tensors; returns file name -> sha256.

    Every header and digest is checked before the first tensor is read. Raises WeightsError for
    what ``stored.survey`` and ``stored.digests`` refuse, and for a value that is not finite.
    """
    files = survey(path, {name: tuple(tensor.shape) for name, tensor in named.items()})
    found = digests(files)
    for file in files:
        _copy(named, file)
    return found


def _copy(named: Mapping[str, Tensor], file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                if (target := named.get(canonical(name))) is not None:
                    target.copy_(stored.get_tensor(name))
                    require_finite(target, canonical(name), file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file.name}: not a sound safetensors file ({error})") from error


def require_finite(tensor: Tensor, name: str, file: Path) -> None:
    """By its extremes, which NaN becomes and which need no copy of the tensor."""
    if not all(bool(extreme.isfinite()) for extreme in tensor.aminmax()):
        raise WeightsError(f"{file.name}: tensor {name} holds NaN or infinity in {tensor.dtype}")

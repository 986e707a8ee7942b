"""Weights into tensors that already exist: seeded power-honest noise, or real safetensors.

Pickle is refused by name, because opening one can run code. Shapes come from the configuration;
nothing here knows how the decoder lays its tensors out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

SHIPPED = Path(__file__).parent / "weights"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_INDEX = "model.safetensors.index.json"
_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class WeightsError(ValueError):
    """Weights that cannot be used, in one line that names the file or the tensor."""


def initialise(named: Mapping[str, Tensor], n_layers: int, seed: int) -> None:
    """Fill tensors in place with N(0, 1/√fan_in) noise, seeded per tensor, on their device.

    The output and down projections are divided by √(2 L) (GPT-2's residual scaling), norms are 1
    and the embedding is N(0, 1): residuals, logits and bit patterns then look like a trained
    model's, which matters because power follows the data (arXiv 2409.18324).
    """
    for name, tensor in named.items():
        std = _std(name, tensor, n_layers)
        if std is None:
            tensor.fill_(1.0)
            continue
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        generator = torch.Generator(tensor.device).manual_seed(int.from_bytes(digest[:7], "big"))
        tensor.normal_(0.0, std, generator=generator)


def _std(name: str, tensor: Tensor, n_layers: int) -> float | None:
    """Standard deviation of a tensor by its name; None for a norm."""
    if tensor.dim() == 1:
        return None
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

    Raises WeightsError for pickles, broken or missing files, a tensor that is missing, of
    another shape, not floating point, or not part of this model.
    """
    files = _files(path)
    missing = set(named)
    for file in files:
        missing -= _copy(named, file)
    if missing:
        first = sorted(missing)[0]
        raise WeightsError(f"{path}: tensor {first} is missing ({len(missing)} in all)")
    return {file.name: sha256(file) for file in files}


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        _refuse_pickle(path)
        return [path]
    if (path / _INDEX).is_file():
        return _shards(path)
    single = sorted(path.glob("*.safetensors"))
    if len(single) == 1:
        return single
    if single:
        raise WeightsError(f"{path}: {len(single)} safetensors files and no {_INDEX}")
    for file in sorted(path.iterdir()):
        _refuse_pickle(file)
    raise WeightsError(f"{path}: no .safetensors file here")


def _refuse_pickle(file: Path) -> None:
    if file.suffix in _PICKLES:
        raise WeightsError(
            f"{file.name} is a pickle, which can run code when opened: convert it to safetensors"
        )


def _shards(path: Path) -> list[Path]:
    try:
        index: Any = json.loads((path / _INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path / _INDEX}: not a safetensors index ({error})") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise WeightsError(f"{path / _INDEX}: shard {name!r} must be a plain file name")
        _refuse_pickle(path / name)
        if not (path / name).is_file():
            raise WeightsError(f"{path}: shard {name} is missing")
    return [path / name for name in names]


def _copy(named: Mapping[str, Tensor], file: Path) -> set[str]:
    """Copy what ``file`` holds; returns the names it held."""
    try:
        with safe_open(file, framework="pt") as stored:
            found = set(stored.keys())
            for name in sorted(found):
                if name in named:
                    _copy_one(named[name], stored.get_tensor(name), name, file)
                elif not _spare(name):
                    raise WeightsError(f"{file.name}: tensor {name} is not part of this model")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file.name}: not a sound safetensors file ({error})") from error
    return found


def _spare(name: str) -> bool:
    """Tensors some exporters write although they follow from the configuration."""
    return name.endswith("rotary_emb.inv_freq") or name == "lm_head.weight"


def _copy_one(target: Tensor, source: Tensor, name: str, file: Path) -> None:
    if source.shape != target.shape:
        want, have = list(target.shape), list(source.shape)
        raise WeightsError(f"{file.name}: tensor {name} has shape {have}, the model needs {want}")
    if source.dtype not in _FLOATS:
        raise WeightsError(f"{file.name}: tensor {name} is {source.dtype}, not a float tensor")
    target.copy_(source)

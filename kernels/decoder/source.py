"""Weights that exist only while somebody looks at them, so that a model may be read or drawn that
would not fit beside what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .config import ModelConfig
from .stored import canonical, digests, survey
from .weights import WeightsError, draw, require_finite


class Named(Mapping[str, Tensor]):
    """Weights by name, each made when it is asked for and kept by nobody."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Tensor:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def noise(config: ModelConfig, device: torch.device, seed: int, kind: str) -> Named:
    """bf16 weights as ``weights.initialise`` draws them: the same values every time."""

    def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = torch.empty(shape, device=device, dtype=torch.bfloat16)
        draw(name, tensor, config.n_layers, seed, kind)
        return tensor

    return Named({name: partial(drawn, name, shape) for name, shape in config.shapes().items()})


def stored(config: ModelConfig, device: torch.device, path: Path) -> tuple[Named, dict[str, str]]:
    """bf16 weights as ``weights.load`` reads them, each from its file; and the files' sha256.

    Headers and digests are checked first; WeightsError as there, of a value when it is read.
    """
    files = survey(path, config.shapes())
    found = digests(files)
    places: dict[str, tuple[Path, str]] = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            places |= {canonical(name): (file, name) for name in opened.keys()}  # noqa: SIM118

    def read(name: str) -> Tensor:
        file, key = places[name]
        try:
            with safe_open(file, framework="pt") as opened:
                tensor: Tensor = opened.get_tensor(key).to(device, torch.bfloat16)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file.name}: not a sound safetensors file ({error})") from error
        require_finite(tensor, name, file)
        return tensor

    return Named({name: partial(read, name) for name in config.shapes()}), found

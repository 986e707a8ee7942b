"""A decoder small enough for every test, prompts for it, and a GPU's events without one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.kernels.decoder import gate, pace, reference, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

TINY: dict[str, Any] = {
    "name": "tiny",
    "n_layers": 2,
    "d_model": 64,
    "n_heads": 4,
    "n_kv_heads": 2,
    "head_dim": 16,
    "d_ffn": 128,
    "vocab_size": 256,
    "max_context": 256,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> dict[str, Any]:
    return dict(TINY)


@pytest.fixture
def build() -> Callable[..., Decoder]:
    """A tiny decoder with seeded weights; keywords override its configuration."""

    def make(dtype: torch.dtype = torch.float32, **changes: Any) -> Decoder:
        config = ModelConfig.from_mapping(TINY | changes)
        decoder = Decoder(config, torch.device("cpu"), dtype)
        weights.initialise(decoder.named_weights(), config.n_layers, seed=3)
        return decoder

    return make


@pytest.fixture
def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randint(256, (n,), generator=generator).tolist() for n in (5, 17, 40)]


class Edges:
    """A GPU's events: each thing passes a tick after it is queued; what was waited for is kept."""

    def __init__(self) -> None:
        self.made = 0
        self.waits: list[tuple[int, int]] = []

    def __call__(self) -> "Edge":
        self.made += 1
        return Edge(self, self.made - 1)


class Edge:
    def __init__(self, edges: Edges, number: int) -> None:
        self.edges, self.number = edges, number

    def wait(self) -> None:
        self.edges.waits.append((self.number, self.edges.made - 1))

    def since(self, earlier: "Edge") -> float:
        return float(self.number - earlier.number)


@pytest.fixture
def edges(monkeypatch: pytest.MonkeyPatch) -> Edges:
    """What a pacer takes for a GPU's events."""
    made = Edges()
    monkeypatch.setattr(pace, "CudaEdge", made)
    return made


def expected(decoder: Decoder, prompt: list[int], steps: int) -> list[int]:
    """The reference's own greedy continuation."""
    return reference.greedy(decoder.config, decoder.named_weights(), prompt, steps)[0]


def advance(session: Session, steps: int) -> None:
    """So many steps."""
    for _ in range(steps):
        session.step()


def lives_by_the_reference(session: Session, prompts: list[list[int]]) -> None:
    """Ragged rows, a refill among them and a rewind, token by token, with poison in free slots."""
    session.prefill(prompts)
    gate.poison(session)
    advance(session, 40)
    for row, prompt in enumerate(prompts):
        assert session.produced(row) == expected(session.decoder, prompt, 41)
    session.refill(1, prompts[2][:23])
    advance(session, 24)
    assert session.produced(1) == expected(session.decoder, prompts[2][:23], 25)
    assert session.produced(2) == expected(session.decoder, prompts[2], 65)
    once = session.history.clone()
    session.clear()
    assert session.facts()["steps"] == 0
    advance(session, 20)
    assert torch.equal(session.history[0, :26], once[0, :26])
    assert bool(session.logits.isfinite().all())

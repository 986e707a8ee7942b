"""What every decoding workload opens first: the device, the decoder with its weights, the text
that prompts are cut from. What they all say of these is said here too.

Nothing here needs torch before ``Setup.claim``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import ModelConfig

if TYPE_CHECKING:
    import torch

    from .loops import Session
    from .model import Decoder

Check = tuple[str, bool, str]
LONG_RUN_S = 1.0  # a shorter run says little of how two clocks compare


@dataclass(frozen=True, slots=True)
class Setup:
    """Which decoder runs where. ``weights`` is "shipped:micro", a path to safetensors, or None
    for seeded noise; ``threads`` counts CPU threads, None is one per core this process may use.

    Raises ValueError for what no machine could run.
    """

    model: ModelConfig
    device: str
    precision: str
    weights: str | None
    threads: int | None
    seed: int

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, not {self.device!r}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, not {self.precision!r}")
        if self.threads is not None:
            require_counts(threads=self.threads)

    @property
    def word(self) -> int:
        """Bytes of a weight and of an element of the KV cache."""
        return 4 if self.precision == "fp32" else 2

    def claim(self) -> torch.device:
        """The device, set up to be timed; RuntimeError when torch does not see it."""
        wait_passively()
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device: check the driver, or use device cpu")
        if self.device == "cuda":  # on Hopper cuDNN comes first, and plans anew at every span
            torch.backends.cuda.enable_cudnn_sdp(False)
        if self.device == "cpu":
            torch.set_num_threads(self.threads or len(os.sched_getaffinity(0)))
        return torch.device(self.device)

    def load(self, device: torch.device) -> Opened:
        """The decoder with its weights; ValueError for weights that cannot be used.

        What the device reads and multiplies is measured first, while its memory is free.
        """
        import torch

        from . import roofs, weights
        from .model import Decoder

        limits = roofs.measure(device, self.precision)

        path = None if self.weights is None else weights.resolve(self.weights)
        dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
        decoder = Decoder(self.model, device, dtype)
        named = decoder.named_weights()
        if path is None:
            weights.initialise(named, self.model.n_layers, self.seed)
            return Opened(self, decoder, limits)
        sources = weights.load(named, path)
        companion = path.with_name(f"{path.stem}_golden.json")
        if path.parent != weights.SHIPPED or not companion.is_file():
            return Opened(self, decoder, limits, sources)
        record = json.loads(companion.read_text(encoding="utf-8"))
        sources[companion.name] = weights.sha256(companion)
        text = record["excerpt"].encode("latin-1")
        return Opened(self, decoder, limits, sources, text, record["golden"])

    def release(self) -> None:
        """Hand the memory of what has been dropped back to the device."""
        if self.device == "cuda" and "torch" in sys.modules:
            import torch

            torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoder ready to run; ``sources`` are file name -> sha256 of its weights, ``roofs`` what
    its device can do (see ``roofs.measure``).

    ``text`` is what prompts are cut from, None for random ones; ``golden`` are the prompts that
    shipped weights must continue as recorded.
    """

    setup: Setup
    decoder: Decoder
    roofs: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    text: bytes | None = None
    golden: Sequence[Mapping[str, Any]] = ()

    def data_profile(self, session: Session) -> dict[str, Any]:
        """What the device computes on, of a prefilled session, which is left rewound."""
        from . import data_profile

        return {
            "init": self.setup.weights or "fan-in",
            "seed": self.setup.seed,
            "prompts": "random" if self.text is None else "text",
            **data_profile.profile(session, self.decoder.named_weights()),
        }

    def verify(self, session: Session, prompts: Sequence[Sequence[int]]) -> list[Check]:
        """The gate, on the module and the buffers that are timed; ``session`` holds ``prompts``."""
        from . import gate

        checks = gate.verify(session, prompts)
        if self.golden and self.setup.precision == "fp32":
            checks.append(gate.golden(self.decoder, self.golden))
        return checks

    def facts(self) -> dict[str, Any]:
        """The part of describe() that says by what the tokens are made."""
        import torch

        own = {file.name: _sha256(file) for file in sorted(Path(__file__).parent.glob("*.py"))}
        facts: dict[str, Any] = {
            "backend": "torch",
            "tier": "T0",
            "sources": own | self.sources,
            "roofs": self.roofs,
        }
        if self.setup.device == "cuda":
            facts["device_uuid"] = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
        return facts

    def config(self) -> dict[str, Any]:
        """The part of describe()["config"] that names the decoder and its host threads."""
        import torch

        setup = self.setup
        return {
            "model": setup.model.name,
            "precision": setup.precision,
            "weights": setup.weights,
            "n_params": setup.model.n_params(),
            "seed": setup.seed,
            "threads": torch.get_num_threads() if setup.device == "cpu" else None,
            "omp_wait_policy": wait_passively(),
        }


def require_counts(**counts: object) -> None:
    """ValueError naming the first argument that is not a whole number above 0."""
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{key} must be a whole number above 0, not {value!r}")


def wait_passively() -> str:
    """Ask OpenMP to let idle threads sleep, if it is not loaded yet; returns the policy in force.

    A spinning thread of the idle workload would draw power from the one being measured.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return os.environ.get("OMP_WAIT_POLICY", "default").lower()


def _sha256(file: Path) -> str:
    from .weights import sha256

    return sha256(file)

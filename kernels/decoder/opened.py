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

from .config import KINDS, PRECISIONS, REAL, ModelConfig

if TYPE_CHECKING:
    import torch

    from .loops import Session
    from .model import Decoder

Check = tuple[str, bool, str]
DECODING = ("route", "fallbacks", "compile_s", "threads")
"""What describe()["decoding"] says of a session's facts."""
LONG_RUN_S = 1.0  # a shorter run says little of how two clocks compare


@dataclass(frozen=True, slots=True)
class Setup:
    """Which decoder runs where. ``weights`` is "shipped:micro", a path to safetensors, or None
    for seeded noise; ``init`` is the kind of noise, one of KINDS, or "real" for given weights,
    None whichever fits; ``threads`` counts CPU threads, None is one per core this process may use.

    Raises ValueError for what no machine could run.
    """

    model: ModelConfig
    device: str
    precision: str
    weights: str | None
    threads: int | None
    seed: int
    init: str | None = None

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, not {self.device!r}")
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"precision must be one of {known}, not {self.precision!r}")
        fitting = KINDS if self.weights is None else (REAL,)
        if self.init is not None and self.init not in fitting:
            given = "without weights" if self.weights is None else f"of weights {self.weights}"
            raise ValueError(f"init {given} is one of {', '.join(fitting)}, not {self.init!r}")
        if self.threads is not None:
            require_counts(threads=self.threads)

    @property
    def word(self) -> int:
        """Bytes of a weight that is not quantised and of an element of the KV cache."""
        return 4 if self.precision == "fp32" else 2

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights in memory."""
        from .precision import stored_bytes

        return stored_bytes(self.model, self.precision)

    @property
    def kind(self) -> str:
        """The kind of weights: one of KINDS, or "real"."""
        return self.init or ("fan-in" if self.weights is None else REAL)

    def claim(self) -> torch.device:
        """The device, set up to be timed.

        RuntimeError when torch does not see it, ValueError when it lacks the precision.
        """
        wait_passively()
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device: check the driver, or use device cpu")
        if self.device == "cuda":  # on Hopper cuDNN comes first, and plans anew at every span
            torch.backends.cuda.enable_cudnn_sdp(False)
        if self.device == "cpu":
            torch.set_num_threads(self.threads or len(os.sched_getaffinity(0)))
        from .precision import require

        device = torch.device(self.device)
        require(self.precision, self.model, device)
        return device

    def load(self, device: torch.device) -> Opened:
        """The decoder with its weights; ValueError for weights that cannot be used.

        Headers of weights are looked at first; then what the device reads and multiplies is
        measured, while its memory is free.
        """
        from . import roofs, stored, weights
        from .precision import QUANTISED, bytes_per_weight

        path = None if self.weights is None else weights.resolve(self.weights)
        if path is not None:
            stored.survey(path, self.model.shapes())
        limits = roofs.measure(device, self.precision)
        companion = None if path is None else path.with_name(f"{path.stem}_golden.json")
        shipped = path is not None and path.parent == weights.SHIPPED
        record: dict[str, Any] = {}
        if companion is not None and shipped and companion.is_file():
            record = json.loads(companion.read_text(encoding="utf-8"))
        text = record["excerpt"].encode("latin-1") if record else None
        make = self._quantised if self.precision in QUANTISED else self._plain
        decoder, sources, rung = make(device, path, text)
        if companion is not None and record:
            sources[companion.name] = weights.sha256(companion)
        per_weight = {"bytes_per_weight": bytes_per_weight(self.model, self.precision)}
        golden = record.get("golden", ())
        return Opened(self, decoder, limits, sources, text, golden, per_weight | rung)

    def _plain(
        self, device: torch.device, path: Path | None, _text: bytes | None
    ) -> tuple[Decoder, dict[str, str], dict[str, Any]]:
        import torch

        from . import weights
        from .model import Decoder

        dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
        decoder = Decoder(self.model, device, dtype)
        named = decoder.named_weights()
        if path is not None:
            return decoder, weights.load(named, path), {}
        weights.initialise(named, self.model.n_layers, self.seed, self.kind)
        return decoder, {}, {}

    def _quantised(
        self, device: torch.device, path: Path | None, text: bytes | None
    ) -> tuple[Decoder, dict[str, str], dict[str, Any]]:
        """The decoder, and what it costs against bf16 over rows of the text, or of noise."""
        from . import data_profile, rung, source

        sources: dict[str, str] = {}
        if path is None:
            given = source.noise(self.model, device, self.seed, self.kind)
        else:
            given, sources = source.stored(self.model, device, path)
        decoder = rung.quantised(self.model, device, self.precision, given)
        length = min(rung.POSITIONS // 2, self.model.max_context)
        rows = -(-rung.POSITIONS // length)
        tokens = data_profile.prompts(self.model, rows, length, self.seed, text)
        return decoder, sources, rung.against_bf16(decoder, given, tokens)

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
    shipped weights must continue as recorded; ``rung`` says what the precision costs.
    """

    setup: Setup
    decoder: Decoder
    roofs: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    text: bytes | None = None
    golden: Sequence[Mapping[str, Any]] = ()
    rung: Mapping[str, Any] = field(default_factory=dict)

    def data_profile(self, session: Session) -> dict[str, Any]:
        """What the device computes on, of a prefilled session, which is left rewound."""
        from . import data_profile

        return {
            "init": self.setup.weights or self.setup.kind,
            "seed": self.setup.seed,
            "prompts": "random" if self.text is None else "text",
            **data_profile.profile(session, self.decoder.named_weights()),
        }

    def verify(self, session: Session, prompts: Sequence[Sequence[int]]) -> list[Check]:
        """The gate, on the module and the buffers that are timed; ``session`` holds ``prompts``."""
        from . import gate

        checks = [*self.decoder.checks, *gate.verify(session, prompts)]
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
            "precision": dict(self.rung),
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
            "rung": dict(self.rung),
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

"""Offline decode as a workload: a fixed batch decoded over a really prefilled cache, rewound.

A token is one generated token, counted after it exists; prompt tokens are counted apart, as
prefill. Nothing here needs torch before ``prepare``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .config import ModelConfig

if TYPE_CHECKING:
    import torch

    from .loops import Session
    from .model import Decoder

Check = tuple[str, bool, str]
LONG_RUN_S = 1.0  # a shorter run says little of how two clocks compare


class DecodeWorkload:
    """Decodes ``batch`` rows from ``context`` to ``context + steps`` cached tokens, repeatedly.

    ``model`` holds the fields of ModelConfig; ``weights`` is "shipped:micro", a path to
    safetensors, or None for seeded noise; ``threads`` counts CPU threads, None is one per core
    this process may use. Raises ValueError for what no machine could run.
    """

    name = "decode"
    unit = "token"

    def __init__(
        self,
        device: Literal["cpu", "cuda"] = "cpu",
        *,
        model: Mapping[str, Any],
        precision: Literal["fp32", "bf16"] = "fp32",
        batch: int = 8,
        context: int = 128,
        steps: int = 256,
        weights: str | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        self.model = ModelConfig.from_mapping(model)
        self.device, self.precision, self.weights = device, precision, weights
        self.batch, self.context, self.steps, self.seed = batch, context, steps, seed
        self.threads = threads
        self._check_plan()
        self._session: Session | None = None
        self._prompts: list[list[int]] = []
        self._golden: list[dict[str, Any]] = []
        self._sources: dict[str, str] = {}
        self._data_profile: dict[str, Any] = {}
        self._prefill: dict[str, float | int] = {}
        self._host: dict[str, Any] = {}
        self._roofs: dict[str, Any] = {}
        self._facts: list[Mapping[str, Any]] = []
        self._reported = 0
        self._step_s = 0.0
        self._group = 1

    def prepare(self, *, group_s: float | None = None) -> None:
        """Load, prefill twice (the second is timed), profile the data, time a few steps.

        Model, batch and context fix a step and its rewinds; ``group_s`` chooses how many steps
        (at least one) a GPU is given between two waits of the host, the one rhythm that is free.
        Once prepared, nothing else changes. Raises MemoryError before allocating what cannot fit,
        ValueError for unusable weights, RuntimeError without a device.
        """
        if self._session is None:
            self._open()
        self._group = max(1, round(group_s / self._step_s)) if group_s else 1

    def _open(self) -> None:
        self._host = {"omp_wait_policy": wait_passively()}
        import torch

        from . import capacity, data_profile, roofs, timed
        from .loops import Session

        if self.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device: check the driver, or use device cpu")
        if self.device == "cuda":  # on Hopper cuDNN comes first, and plans anew at every span
            torch.backends.cuda.enable_cudnn_sdp(False)
        if self.device == "cpu":
            torch.set_num_threads(self.threads or len(os.sched_getaffinity(0)))
        device = torch.device(self.device)
        word = 4 if self.precision == "fp32" else 2
        capacity.require(
            self.model,
            batch=self.batch,
            context=self.context,
            steps=self.steps,
            device=device,
            word=word,
        )
        self._roofs = roofs.measure(device, self.precision)
        decoder, text = self._load(device)
        self._prompts = data_profile.prompts(self.model, self.batch, self.context, self.seed, text)
        session = Session(decoder, self.batch, self.context + self.steps)
        session.prefill(self._prompts)
        seconds = timed.seconds_of(session, lambda: session.prefill(self._prompts))
        tokens = self.batch * self.context
        self._prefill = {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}
        self._data_profile = {
            "init": self.weights or "fan-in",
            "seed": self.seed,
            "prompts": "random" if text is None else "text",
            **data_profile.profile(session, decoder.named_weights()),
        }
        self._step_s = timed.step_seconds(session)
        self._session = session

    def describe(self) -> Mapping[str, Any]:
        """What runs, on what data, from which sources; after ``prepare``.

        ``launch_s`` is a step: its kernels recur at that period, however the host waits for them.
        """
        session = self._prepared()
        import torch

        from . import roofs

        work = {name: getattr(self, name) for name in ("precision", "batch", "context", "steps")}
        facts: dict[str, Any] = {
            "name": self.name,
            "backend": "torch",
            "tier": "T0",
            "unit": self.unit,
            "config": self._config(session, torch.get_num_threads()),
            "data_profile": self._data_profile,
            "sources": _own_sources() | self._sources,
            "prefill": self._prefill,
            "roofs": self._roofs,
            "work": roofs.decode_work(
                self.model, **work, bytes_per_kv=session.cache.slots.element_size()
            ),
            "launch_s": self._step_s,
            "steps_per_wait": self._group if self.device == "cuda" else 1,
        }
        if self.device == "cuda":
            facts["device_uuid"] = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
        return facts

    def verify(self) -> list[Check]:
        """The gate, on the module and the buffers that are timed."""
        from . import gate

        session = self._prepared()
        checks = gate.verify(session, self._prompts)
        if self._golden and self.precision == "fp32":
            checks.append(gate.golden(session.decoder, self._golden))
        return checks

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Decode until stop(). The step latencies become a fact; on a GPU, the seconds by its own
        events beside the host's become another.
        """
        from . import timed

        session = self._prepared()
        marked_s: list[float] = []

        def note(t_s: float, units: int) -> None:
            marked_s.append(t_s)
            mark(t_s, units)

        latencies = timed.drive(session, note, stop, self._group)
        self._reported = self.batch * len(latencies)
        if latencies:
            self._note("step_latency", timed.percentiles(latencies))
        host_s = marked_s[-1] - marked_s[0]
        if self.device == "cuda" and host_s >= LONG_RUN_S:
            self._note("device_time", {"device_s": math.fsum(latencies), "host_s": host_s})

    def _note(self, name: str, data: Mapping[str, Any]) -> None:
        self._facts.append({"kind": "event", "t_s": time.monotonic(), "name": name, "data": data})

    def facts(self) -> list[Mapping[str, Any]]:
        """Facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def check(self) -> list[Check]:
        """The last run once more: its first and last row, its token count, its logits."""
        from . import gate

        session = self._prepared()
        made = int(session.made) * self.batch
        finite = bool(session.logits.isfinite().all())
        return [
            *gate.recheck(session),
            (
                "tokens reported = produced",
                made == self._reported,
                f"{self._reported} reported, {made} produced on the device",
            ),
            ("logits finite", finite, "of every row after the last step"),
        ]

    def close(self) -> None:
        """Drop weights and cache, and hand the device's memory back."""
        self._session = None
        if self.device == "cuda" and "torch" in sys.modules:
            import torch

            torch.cuda.empty_cache()

    def _check_plan(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, not {self.device!r}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, not {self.precision!r}")
        for key in ("batch", "context", "steps", "threads"):
            value = getattr(self, key)
            if (key, value) != ("threads", None) and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{key} must be a whole number above 0, not {value!r}")
        if self.context + self.steps > self.model.max_context:
            raise ValueError(
                f"context {self.context} and {self.steps} steps exceed the {self.model.max_context}"
                f" tokens that {self.model.name} can hold: lower one of them"
            )

    def _load(self, device: torch.device) -> tuple[Decoder, bytes | None]:
        """The decoder with its weights, and the text that prompts are cut from, if any."""
        import torch

        from . import weights
        from .model import Decoder

        path = None if self.weights is None else weights.resolve(self.weights)
        dtype = torch.float32 if self.precision == "fp32" else torch.bfloat16
        decoder = Decoder(self.model, device, dtype)
        named = decoder.named_weights()
        if path is None:
            weights.initialise(named, self.model.n_layers, self.seed)
            return decoder, None
        self._sources = weights.load(named, path)
        companion = path.with_name(f"{path.stem}_golden.json")
        if path.parent != weights.SHIPPED or not companion.is_file():
            return decoder, None
        record = json.loads(companion.read_text(encoding="utf-8"))
        self._sources[companion.name] = weights.sha256(companion)
        self._golden = record["golden"]
        return decoder, record["excerpt"].encode("latin-1")

    def _config(self, session: Session, threads: int) -> dict[str, Any]:
        return {
            "model": self.model.name,
            "precision": self.precision,
            "batch": self.batch,
            "context": self.context,
            "steps": self.steps,
            "mean_context": self.context + (self.steps - 1) / 2,
            "weights": self.weights,
            "n_params": self.model.n_params(),
            "kv_capacity": session.cache.capacity,
            "seed": self.seed,
            "threads": threads if self.device == "cpu" else None,
            **self._host,
        }

    def _prepared(self) -> Session:
        if self._session is None:
            raise RuntimeError("prepare() has not been called")
        return self._session


def wait_passively() -> str:
    """Ask OpenMP to let idle threads sleep, if it is not loaded yet; returns the policy in force.

    A spinning thread of the idle workload would draw power from the one being measured.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return os.environ.get("OMP_WAIT_POLICY", "default").lower()


def _own_sources() -> dict[str, str]:
    from .weights import sha256

    return {file.name: sha256(file) for file in sorted(Path(__file__).parent.glob("*.py"))}

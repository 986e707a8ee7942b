"""Offline decode as a workload: a fixed batch decoded over a really prefilled cache, rewound.

A token is one generated token, counted after it exists; prompt tokens are counted apart, as
prefill. Nothing here needs torch before ``prepare``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ..latency import percentiles
from .config import ModelConfig
from .ladder import ROUTE, known
from .opened import DECODING, LONG_RUN_S, Check, Opened, Setup, require_counts

if TYPE_CHECKING:
    from .loops import Session


class DecodeWorkload:
    """Decodes ``batch`` rows from ``context`` to ``context + steps`` cached tokens, repeatedly.

    ``model`` holds the fields of ModelConfig; ``precision``, ``weights``, ``init`` and ``threads``
    are as in Setup. Raises ValueError for what no machine could run.
    """

    name = "decode"
    unit = "token"

    def __init__(
        self,
        device: Literal["cpu", "cuda"] = "cpu",
        *,
        model: Mapping[str, Any],
        precision: Literal["fp32", "bf16", "fp8", "int4"] = "fp32",
        batch: int = 8,
        context: int = 128,
        steps: int = 256,
        weights: str | None = None,
        init: str | None = None,
        threads: int | None = None,
        seed: int = 0,
        route: str | None = None,
    ) -> None:
        config = ModelConfig.from_mapping(model)
        self.setup = Setup(config, device, precision, weights, threads, seed, init)
        self.batch, self.context, self.steps = batch, context, steps
        require_counts(batch=batch, context=context, steps=steps)
        self.route = ROUTE[self.setup.device] if route is None else known(route)
        if context + steps > config.max_context:
            raise ValueError(
                f"context {context} and {steps} steps exceed the {config.max_context}"
                f" tokens that {config.name} can hold: lower one of them"
            )
        self._opened: Opened | None = None
        self._session: Session | None = None
        self._prompts: list[list[int]] = []
        self._data_profile: dict[str, Any] = {}
        self._prefill: dict[str, float | int] = {}
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
        setup = self.setup
        device = setup.claim()
        from . import capacity, data_profile, timed
        from .loops import Session

        capacity.require(
            setup.model,
            batch=self.batch,
            context=self.context,
            steps=self.steps,
            device=device,
            word=setup.word,
            weights=setup.weight_bytes,
        )
        opened = setup.load(device)
        self._prompts = data_profile.prompts(
            setup.model, self.batch, self.context, setup.seed, opened.text
        )
        capacity_slots = self.context + self.steps
        session = Session(opened.decoder, self.batch, capacity_slots, route=self.route)
        session.prefill(self._prompts)
        seconds = timed.seconds_of(session, lambda: session.prefill(self._prompts))
        tokens = self.batch * self.context
        self._prefill = {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}
        self._data_profile = opened.data_profile(session)
        self._step_s = timed.step_seconds(session)
        self._opened, self._session = opened, session

    def describe(self) -> Mapping[str, Any]:
        """What runs, on what data, from which sources; after ``prepare``.

        ``launch_s`` is a step: its kernels recur at that period, however the host waits for them.
        """
        opened, session = self._prepared()
        from . import roofs

        return {
            "name": self.name,
            "unit": self.unit,
            **opened.facts(),
            "tier": "T0" if session.facts()["route"] == "eager" else "T1",
            "decoding": {key: session.facts()[key] for key in DECODING},
            "config": opened.config()
            | {
                "batch": self.batch,
                "context": self.context,
                "steps": self.steps,
                "mean_context": self.context + (self.steps - 1) / 2,
                "kv_capacity": session.cache.capacity,
            },
            "data_profile": self._data_profile,
            "prefill": self._prefill,
            "work": roofs.decode_work(
                self.setup.model,
                precision=self.setup.precision,
                batch=self.batch,
                context=self.context,
                steps=self.steps,
                bucket=session.bucket,
                bytes_per_kv=session.decoder.dtype.itemsize,
            )
            | {"bytes_per_weight": opened.rung["bytes_per_weight"]},
            "launch_s": self._step_s,
            "steps_per_wait": self._group if self.setup.device == "cuda" else 1,
        }

    def verify(self) -> list[Check]:
        """The gate, on the module and the buffers that are timed."""
        opened, session = self._prepared()
        return opened.verify(session, self._prompts)

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Decode until stop(). The step latencies become a fact; on a GPU, the seconds by its own
        events beside the host's become another.
        """
        from . import timed

        _, session = self._prepared()
        marked_s: list[float] = []

        def note(t_s: float, units: int) -> None:
            marked_s.append(t_s)
            mark(t_s, units)

        latencies = timed.drive(session, note, stop, self._group)
        self._reported = self.batch * len(latencies)
        if latencies:
            self._note("step_latency", percentiles(latencies))
        host_s = marked_s[-1] - marked_s[0]
        if self.setup.device == "cuda" and host_s >= LONG_RUN_S:
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

        _, session = self._prepared()
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
            self._nothing_compiled(session),
        ]

    def _nothing_compiled(self, session: Session) -> Check:
        """A step that was compiled anew while it was timed was not the one that was verified."""
        again = int(session.facts()["recompiles"])
        return ("nothing compiled since it was ready", again == 0, f"{again} compilations")

    def close(self) -> None:
        """Drop weights and cache, and hand the device's memory back."""
        self._opened = self._session = None
        self.setup.release()

    def _prepared(self) -> tuple[Opened, Session]:
        if self._opened is None or self._session is None:
            raise RuntimeError("prepare() has not been called")
        return self._opened, self._session

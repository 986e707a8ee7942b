"""Prefill as a workload: prompts of one length cached over and over, new ones every time.

A token here is a *prompt* token, counted once the prompt's first output token exists. Nothing
here needs torch before ``prepare``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ..latency import counted
from .config import ModelConfig
from .opened import LONG_RUN_S, Check, Opened, Setup, require_counts
from .requests import MEAN, SHORTEST, Prompts

if TYPE_CHECKING:
    from .loops import Session

SPARE = 16  # positions behind a prompt: room for the gate's steps


class PrefillWorkload:
    """Prefills ``batch`` prompts of ``prompt`` tokens at a time, each from position 0.

    ``prompt`` is by default MEAN or a quarter of what the model holds. The rest is as in Setup.
    There is no ``route``: each length of a prompt would be a graph of its own, so prefill is eager,
    here as in serving.
    Raises ValueError for what no machine could run.
    """

    name = "prefill"
    unit = "token"

    def __init__(
        self,
        device: Literal["cpu", "cuda"] = "cpu",
        *,
        model: Mapping[str, Any],
        precision: Literal["fp32", "bf16", "fp8", "int4"] = "fp32",
        prompt: int | None = None,
        batch: int = 1,
        weights: str | None = None,
        init: str | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        config = ModelConfig.from_mapping(model)
        self.setup = Setup(config, device, precision, weights, threads, seed, init)
        self.prompt = min(MEAN, config.max_context // 4) if prompt is None else prompt
        self.batch = batch
        require_counts(prompt=self.prompt, batch=batch)
        if not SHORTEST <= self.prompt <= config.max_context:
            raise ValueError(
                f"prompt must be {SHORTEST} to {config.max_context} tokens, what {config.name} "
                f"can hold, not {self.prompt}"
            )
        self._opened: Opened | None = None
        self._session: Session | None = None
        self._prompts: Prompts | None = None
        self._current: list[list[int]] = []
        self._given = 0
        self._data_profile: dict[str, Any] = {}
        self._facts: list[Mapping[str, Any]] = []
        self._reported = self._made = 0
        self._pass_s = 0.0
        self._group = 1

    def prepare(self, *, group_s: float | None = None) -> None:
        """Load, prefill twice (the second is timed), profile the data.

        ``group_s`` chooses the passes between two waits of the host on a GPU. Once prepared,
        nothing else changes. Raises MemoryError before allocating what cannot fit, ValueError
        for unusable weights, RuntimeError without a device.
        """
        if self._session is None:
            self._open()
        self._group = max(1, round(group_s / self._pass_s)) if group_s else 1

    def _open(self) -> None:
        setup = self.setup
        device = setup.claim()
        from . import capacity, timed
        from .loops import Session

        spare = min(SPARE, setup.model.max_context - self.prompt)
        capacity.require(
            setup.model,
            batch=self.batch,
            context=self.prompt,
            steps=spare,
            device=device,
            word=setup.word,
            weights=setup.weight_bytes,
        )
        opened = setup.load(device)
        self._prompts = Prompts(setup.model.vocab_size, setup.seed, opened.text)
        session = Session(opened.decoder, self.batch, self.prompt + spare)
        self._next(session)
        self._pass_s = timed.seconds_of(session, lambda: self._next(session))
        self._data_profile = opened.data_profile(session)
        self._opened, self._session = opened, session

    def describe(self) -> Mapping[str, Any]:
        """What runs, on what data, from which sources; ``launch_s`` is one pass."""
        opened, session = self._prepared()
        work = {
            "model": asdict(self.setup.model),
            "precision": self.setup.precision,
            "bytes_per_weight": opened.rung["bytes_per_weight"],
            "bytes_per_kv": session.decoder.dtype.itemsize,
            "prompt": self.prompt,
        }
        return {
            "name": self.name,
            "unit": self.unit,
            **opened.facts(),
            "config": opened.config() | {"batch": self.batch, "prompt": self.prompt},
            "data_profile": self._data_profile,
            "work": work,
            "launch_s": self._pass_s,
            "steps_per_wait": self._group if self.setup.device == "cuda" else 1,
        }

    def verify(self) -> list[Check]:
        """Last logits of a pass over buffers full of NaN, then the gate of the whole decoder."""
        opened, session = self._prepared()
        import torch

        with torch.inference_mode():
            session.cache.fill_beyond(torch.zeros_like(session.positions), torch.nan)
            session.logits.fill_(torch.nan)
        self._next(session)
        return [*self._last_logits("prefill"), *opened.verify(session, self._current)]

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Prefill new prompts until stop(); units are prompt tokens. The facts say how long a
        prompt waited for its first token.
        """
        from .pace import Pacer

        _, session = self._prepared()
        ends_s = [0.0]
        cached = session.made.new_zeros(())
        pacer: Pacer[None] = Pacer(
            session.decoder.device, mark, lambda t_s, _: ends_s.append(t_s), self._group
        )
        while not stop():
            tokens = self._next(session)
            cached.add_((session.history[:, : self.prompt] >= 0).sum())
            pacer.queued(None, tokens)
        host_s = pacer.finish()
        self._reported, self._made = pacer.units, int(cached)
        waits = counted((end - begin, self.batch) for begin, end in pairwise(ends_s))
        self._note("request_latency", {"ttft": waits, "tpot": {"n": 0}})
        if self.setup.device == "cuda" and host_s >= LONG_RUN_S:
            self._note("device_time", {"device_s": pacer.device_s, "host_s": host_s})

    def _note(self, name: str, data: Mapping[str, Any]) -> None:
        self._facts.append({"kind": "event", "t_s": time.monotonic(), "name": name, "data": data})

    def facts(self) -> list[Mapping[str, Any]]:
        """Facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def check(self) -> list[Check]:
        """The last logits of the last pass, and the run's prompt tokens, counted once more."""
        return [
            *self._last_logits("last pass"),
            (
                "tokens reported = produced",
                self._made == self._reported,
                f"{self._reported} prompt tokens reported, {self._made} cached on the device",
            ),
        ]

    def close(self) -> None:
        """Drop weights and cache, and hand the device's memory back."""
        self._opened = self._session = None
        self.setup.release()

    def _next(self, session: Session) -> int:
        """Prefill prompts that nobody has had; returns their tokens."""
        numbers = range(self._given, self._given + self.batch)
        self._given += self.batch
        assert self._prompts is not None, "they come with the weights"
        self._current = [self._prompts.prompt(number, self.prompt) for number in numbers]
        return session.prefill(self._current)

    def _last_logits(self, name: str) -> list[Check]:
        """First and last row of the pass that the session holds, against the reference."""
        from . import gate

        opened, session = self._prepared()
        traces = [
            gate.Trace(
                tuple(self._current[row]),
                tuple(session.history[row, self.prompt : self.prompt + 1].tolist()),
                session.logits[row : row + 1],
            )
            for row in sorted({0, self.batch - 1})
        ]
        return gate.judge(opened.decoder, traces, name)

    def _prepared(self) -> tuple[Opened, Session]:
        if self._opened is None or self._session is None:
            raise RuntimeError("prepare() has not been called")
        return self._opened, self._session

"""Serving as a workload: requests of a mix in continuous batching, in the steady state.

A token is one generated token, the first of each request included; its joules are those of the
prefills and the decoding that made it. Nothing here needs torch before ``prepare``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from ..latency import counted, percentiles
from .config import ModelConfig
from .ladder import ROUTE, known
from .opened import DECODING, LONG_RUN_S, Check, Opened, Setup, require_counts
from .requests import MEAN, Mix, Prompts
from .slots import Watch, mean_span

if TYPE_CHECKING:
    from .pace import Pacer
    from .search import Point, Search
    from .serving import Event, Server

Phase = Literal["prefill", "decode"]


class ServeWorkload:
    """``batch`` slots that serve requests of ``prompt`` tokens in and ``output`` tokens out.

    ``prompt`` and ``output`` are means, by default MEAN or a quarter of what the model holds;
    ``mix`` is "fixed" or "ragged" (see Mix). ``batch`` None finds the largest one whose predicted
    TPOT p99 is within ``slo_tpot_s`` seconds. The rest is as in Setup. Raises ValueError for what
    no machine could run.
    """

    name = "serve"
    unit = "token"

    def __init__(
        self,
        device: Literal["cpu", "cuda"] = "cpu",
        *,
        model: Mapping[str, Any],
        precision: Literal["fp32", "bf16", "fp8", "int4"] = "fp32",
        prompt: int | None = None,
        output: int | None = None,
        mix: Literal["fixed", "ragged"] = "fixed",
        slo_tpot_s: float = 0.05,
        batch: int | None = None,
        weights: str | None = None,
        init: str | None = None,
        threads: int | None = None,
        seed: int = 0,
        route: str | None = None,
    ) -> None:
        config = ModelConfig.from_mapping(model)
        mean = min(MEAN, config.max_context // 4)
        prompt, output = mean if prompt is None else prompt, mean if output is None else output
        require_counts(batch=1 if batch is None else batch)
        self.setup = Setup(config, device, precision, weights, threads, seed, init)
        self.mix = Mix(prompt, output, mix, seed)
        self.slo_tpot_s, self.batch = slo_tpot_s, batch
        self.route = ROUTE[self.setup.device] if route is None else known(route)
        self._check_plan()
        self._opened: Opened | None = None
        self._server: Server | None = None
        self._search: Search | None = None
        self._point: Point | None = None
        self._data_profile: dict[str, Any] = {}
        self._facts: list[Mapping[str, Any]] = []
        self._reported = self._made = 0
        self._fresh = True
        self._group = 1

    def prepare(self, *, group_s: float | None = None) -> None:
        """Load, find the batch, prefill every slot to where it is in the steady state.

        The search starts no try after ``search.BOUND_S`` seconds and then fills at most
        ``operating.TRIES`` sessions; ``group_s`` chooses the steps between two waits as in
        DecodeWorkload. Once prepared, nothing else changes. Raises MemoryError when not one slot
        fits, or not the batch asked for; ValueError for unusable weights; RuntimeError without a
        device.
        """
        if self._server is None:
            self._open()
        _, _, point = self._prepared()
        self._group = max(1, round(group_s / point.step_s)) if group_s and point.step_s else 1

    def _open(self) -> None:
        setup = self.setup
        device = setup.claim()
        from .operating import Plan, Trials
        from .search import Search

        plan = Plan(setup, self.mix, self.slo_tpot_s, self.route)
        if self.batch is None:
            fits = plan.room(device)
        else:
            plan.require_room(self.batch, device)
        opened = setup.load(device)
        prompts = Prompts(setup.model.vocab_size, setup.seed, opened.text)
        trials = Trials(plan, opened, prompts)
        if self.batch is None:
            search = self._search = Search(self.slo_tpot_s, plan.sketch_route)
            server, self._point = trials.settle(search.find(fits, trials.sketch), search)
        else:
            server, self._point = trials.fill(self.batch)
        self._data_profile = opened.data_profile(server.session)
        self._opened, self._server = opened, server

    def describe(self) -> Mapping[str, Any]:
        """What runs, on what data, from which sources; after ``prepare``.

        ``launch_s`` is a step; ``search`` tells every batch tried, None where one was given:
        ``config.slo_tpot_s`` is then None too, as nobody looked for it.
        """
        opened, server, point = self._prepared()
        steps = server.session.facts()
        return {
            "name": self.name,
            "unit": self.unit,
            **opened.facts(),
            "tier": "T0" if steps["route"] == "eager" else "T1",
            "decoding": {key: steps[key] for key in DECODING},
            "config": opened.config()
            | {
                "batch": server.slots.batch,
                "prompt": self.mix.prompt,
                "output": self.mix.output,
                "mix": self.mix.facts(),
                "slo_tpot_s": None if self._search is None else self.slo_tpot_s,
                "mean_context": self.mix.mean_context,
                "kv_capacity": server.session.cache.capacity,
            },
            "data_profile": self._data_profile,
            "work": self._work(opened, server),
            "phases": ["prefill", "decode"],
            "search": None if self._search is None else self._search.facts(),
            "tpot_p99_predicted_s": point.tpot_p99_s,
            "launch_s": point.step_s,
            "steps_per_wait": self._group if self.setup.device == "cuda" else 1,
        }

    def _work(self, opened: Opened, server: Server) -> dict[str, Any]:
        """What a generated token stands for: its share of a step and of its request's prefill."""
        session = server.session
        span = mean_span(self.mix, server.slots.batch, session.bucket, session.cache.capacity)
        return {
            "model": asdict(self.setup.model),
            "precision": self.setup.precision,
            "bytes_per_weight": opened.rung["bytes_per_weight"],
            "bytes_per_kv": session.decoder.dtype.itemsize,
            "batch": server.slots.batch,
            "mean_context": self.mix.mean_context,
            "padded_context": span,
            "prompt": self.mix.prompt,
            "output": self.mix.output,
        }

    def verify(self) -> list[Check]:
        """The gate on the module and the buffers that are timed, then a refill among the others.

        Slots that have served since are prefilled anew first.
        """
        from . import gate
        from .serving import refilled

        opened, server, _ = self._prepared()
        if not self._fresh:
            server.open()
            self._fresh = True
        checks = opened.verify(server.session, server.opening)
        return [*checks, *gate.judge(opened.decoder, refilled(server), "refilled slot")]

    def run(
        self,
        mark: Callable[[float, int], None],
        stop: Callable[[], bool],
        phase: Phase | None = None,
    ) -> None:
        """Serve until stop(), from where the last run ended; units are generated tokens.

        ``phase`` "decode" steps all slots without refilling any and leaves them where they were;
        "prefill" refills the slot that is next to end, again and again, without decoding: there,
        and only there, units are prompt tokens. The facts say what requests waited, or of a
        phase alone only how long it took.
        """
        from .pace import Pacer

        _, server, _ = self._prepared()
        ways = {None: server.serve, "prefill": server.prefill, "decode": server.decode}
        counters = {None: server.made, "prefill": server.cached, "decode": server.stepped}
        if phase not in ways:
            raise ValueError(f"phase must be prefill, decode or None, not {phase!r}")
        self._fresh = False
        watch = Watch(server.slots.batch)
        before = counters[phase]()
        if phase is None:
            server.forget()
        pacer: Pacer[Event] = Pacer(server.session.decoder.device, mark, watch, self._group)
        ways[phase](pacer, stop)
        host_s = pacer.finish()
        self._reported, self._made = pacer.units, counters[phase]() - before
        if self.setup.device == "cuda" and host_s >= LONG_RUN_S:
            self._note("device_time", {"device_s": pacer.device_s, "host_s": host_s})
        self._note("phase_time", watch.phases())
        if phase is None:
            self._note_latencies(watch)

    def _note_latencies(self, watch: Watch) -> None:
        gaps, tpot = counted(watch.gaps), percentiles(watch.tpot_s)
        if gaps["n"]:
            self._note("step_latency", gaps)
        data = {
            "ttft": percentiles(watch.ttft_s),
            "tpot": tpot,
            "whole_requests": watch.whole_requests,
        }
        self._note("request_latency", data)

    def _note(self, name: str, data: Mapping[str, Any]) -> None:
        self._facts.append({"kind": "event", "t_s": time.monotonic(), "name": name, "data": data})

    def facts(self) -> list[Mapping[str, Any]]:
        """Facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def check(self) -> list[Check]:
        """The last run's tokens counted once more; of the last whole serving run, its first, last
        and a random finished request against the reference, and that outputs differ.
        """
        from . import gate

        opened, server, _ = self._prepared()
        made, reported = self._made, self._reported
        finite = bool(server.session.logits.isfinite().all())
        return [
            *(
                gate.retrace(
                    opened.decoder, sample.tokens, sample.start, f"request {sample.number}"
                )
                for sample in server.samples
            ),
            server.distinct(),
            (
                "tokens reported = produced",
                made == reported,
                f"{reported} reported, {made} produced on the device",
            ),
            ("logits finite", finite, "of every slot after the last step"),
        ]

    def close(self) -> None:
        """Drop weights and cache, and hand the device's memory back."""
        self._opened = self._server = self._point = None
        self.setup.release()

    def _check_plan(self) -> None:
        limit = self.slo_tpot_s
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < 3600:
            raise ValueError(f"slo_tpot_s must be seconds above 0, not {limit!r}")
        model, (prompt, output) = self.setup.model, self.mix.longest
        if prompt + output > model.max_context:
            raise ValueError(
                f"a request of up to {prompt} tokens in and {output} out exceeds the "
                f"{model.max_context} tokens that {model.name} can hold: lower one of them"
            )

    def _prepared(self) -> tuple[Opened, Server, Point]:
        if self._opened is None or self._server is None or self._point is None:
            raise RuntimeError("prepare() has not been called")
        return self._opened, self._server, self._point

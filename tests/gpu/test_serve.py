"""Serving and prefill on a CUDA device: gated, refilled without waiting for the host, counted."""

import time
from typing import Any

import pytest
import torch

from bench.kernels.decoder.operating import Plan
from bench.kernels.decoder.prefill import PrefillWorkload
from bench.kernels.decoder.serve import ServeWorkload

from .conftest import SHAPE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def turns(count: int) -> Any:
    calls = iter(range(count + 1))
    return lambda: next(calls) == count


@pytest.mark.parametrize("route", ["eager", "graph", "graph+compile"])
@pytest.mark.parametrize("mix", ["fixed", "ragged"])
def test_serve_passes_its_gate_and_its_check(route: str, mix: Any) -> None:
    workload = ServeWorkload(
        device="cuda", model=SHAPE, precision="bf16", prompt=128, output=64, mix=mix, batch=16,
        route=route,
    )  # fmt: skip
    workload.prepare()
    before = workload.verify()
    assert all(passed for _, passed, _ in before), before
    marks: list[tuple[float, int]] = []
    for phase in (None, "decode", "prefill", None):
        workload.facts()
        marks.clear()
        workload.run(lambda t_s, units: marks.append((t_s, units)), turns(200), phase)  # type: ignore[arg-type]
        assert marks == sorted(marks)
        after = workload.check()
        assert all(passed for _, passed, _ in after), (phase, after)
    told = {fact["name"]: fact["data"] for fact in workload.facts()}
    refills = told["request_latency"]["ttft"]["n"]
    assert refills >= 40
    assert marks[-1][1] == 16 * 200 + refills
    assert told["step_latency"]["n"] == 16 * 200
    facts = workload.describe()
    assert facts["decoding"]["route"] == route, facts["decoding"]["fallbacks"]
    workload.close()


def test_serving_never_waits_for_the_device_but_at_its_marks() -> None:
    workload = ServeWorkload(
        device="cuda", model=SHAPE, precision="bf16", prompt=64, output=32, batch=8
    )
    workload.prepare()
    server = workload._server
    assert server is not None
    torch.cuda.set_sync_debug_mode("error")
    try:
        for row in server.slots.finished():
            server._refill(row)
        for _ in range(64):
            server._step()
            for row in server.slots.finished():
                server._refill(row)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    workload.close()


def test_the_batch_that_is_found_keeps_the_limit() -> None:
    workload = ServeWorkload(
        device="cuda", model=SHAPE, precision="bf16", prompt=128, output=64, slo_tpot_s=0.02
    )
    workload.prepare()
    search = workload.describe()["search"]
    assert search["stopped_by"] in {"slo", "memory", "limit", "time"}
    ends_s = time.monotonic() + 3.0
    workload.run(lambda *_: None, lambda: time.monotonic() > ends_s)
    told = {fact["name"]: fact["data"] for fact in workload.facts()}
    assert told["request_latency"]["tpot"]["p99_s"] <= 0.02, told["request_latency"]
    assert all(passed for _, passed, _ in workload.check())
    workload.close()


def test_more_than_fits_is_refused_before_anything_is_allocated() -> None:
    workload = ServeWorkload(
        device="cuda", model=SHAPE | {"max_context": 1 << 20}, precision="bf16",
        prompt=1 << 18, output=1 << 18, batch=4096,
    )  # fmt: skip
    before = torch.cuda.memory_reserved()
    with pytest.raises(MemoryError, match=r"at batch 4096, context \d+\+\d+ needs"):
        workload.prepare()
    assert torch.cuda.memory_reserved() == before


@pytest.mark.slow
def test_memory_that_runs_out_is_the_end_of_the_growth_not_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if capacity foresaw far too little: the card itself says no, and the batch shrinks."""
    monkeypatch.setattr(Plan, "room", lambda *_: 4096)
    workload = ServeWorkload(
        device="cuda", model=SHAPE | {"n_kv_heads": 8, "max_context": 1 << 15}, precision="bf16",
        prompt=1 << 13, output=1 << 13, slo_tpot_s=60.0, route="eager",
    )  # fmt: skip
    workload.prepare()
    search = workload.describe()["search"]
    assert search["stopped_by"] in {"memory", "time"}
    if search["stopped_by"] == "memory":
        assert "memory" in {point["stop"] for point in search["points"]}
    assert workload.describe()["config"]["batch"] < 4096
    workload.close()


def test_prefill_passes_its_gate_and_its_check() -> None:
    workload = PrefillWorkload(device="cuda", model=SHAPE, precision="bf16", prompt=512, batch=4)
    workload.prepare()
    before = workload.verify()
    assert all(passed for _, passed, _ in before), before
    marks: list[int] = []
    workload.run(lambda _, units: marks.append(units), turns(50))
    assert marks[-1] == 50 * 4 * 512
    after = workload.check()
    assert all(passed for _, passed, _ in after), after
    workload.close()

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench.kernels.decoder import capacity, pace, timed
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.workload import DecodeWorkload


def after(steps: int) -> Callable[[], bool]:
    """A stop() that turns true at the given call."""
    calls = iter(range(steps + 1))
    return lambda: next(calls) == steps


def ready(tiny: dict[str, Any], **changes: Any) -> DecodeWorkload:
    plan = {"batch": 4, "context": 24, "steps": 32, "threads": 1} | changes
    workload = DecodeWorkload(model=tiny, **plan)
    workload.prepare()
    return workload


def ignore(_: float, __: int) -> None:
    """A mark that nobody reads."""


def test_a_whole_life(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    assert all(passed for _, passed, _ in workload.verify())
    marks: list[tuple[float, int]] = []
    workload.run(lambda t_s, units: marks.append((t_s, units)), after(50))
    assert marks[-1][1] == 4 * 50
    assert marks == sorted(marks)
    assert marks[-1][0] <= time.monotonic()
    (latency,) = workload.facts()
    assert latency["kind"] == "event"
    assert latency["name"] == "step_latency"
    data = latency["data"]
    assert data["n"] == 50
    assert 0 < data["p50_s"] <= data["p90_s"] <= data["p99_s"]
    assert workload.facts() == []
    assert all(passed for _, passed, _ in workload.check())
    workload.close()
    with pytest.raises(RuntimeError, match="prepare"):
        workload.verify()


@pytest.mark.parametrize(("route", "slots"), [("eager", 40.5), ("compile", 50.0)])
def test_the_slots_that_a_step_reads_are_those_of_its_route(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, route: str, slots: float
) -> None:
    """Spans 25 … 56 in a cache of 56, 40.5 in the mean. In buckets of 32, 8 steps read 32 slots and
    24 all 56: (8·32 + 24·56) / 32 = 50.
    """
    monkeypatch.setattr(torch, "compile", lambda step, **_: step)  # whatever compiles it, it reads
    workload = ready(tiny, route=route)
    facts = workload.describe()
    assert facts["decoding"]["route"] == route
    assert facts["work"]["padded_context"] == slots


def test_every_pass_over_the_cache_decodes_the_same(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    session = workload._session
    assert session is not None
    workload.run(ignore, after(32))
    once = session.history.clone()
    assert session.steps_left == 0
    workload.run(ignore, after(32 * 2 + 7))
    assert torch.equal(session.history, once)
    assert all(passed for _, passed, _ in workload.check())


def test_preparing_again_changes_the_waits_alone(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    session = workload._session
    first = dict(workload.describe())
    workload.prepare(group_s=7.3 * first["launch_s"])
    assert workload._session is session
    assert workload._group == 7
    assert workload.describe() == first, "on a CPU every step is waited for"
    workload.prepare()
    assert workload._group == 1


@pytest.mark.parametrize("group", [1, 4])
def test_a_gpu_always_has_steps_queued_behind_a_wait(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, edges: Any, group: int
) -> None:
    session = ready(tiny)._session
    assert session is not None
    device = torch.device("cuda")
    monkeypatch.setattr(type(session.decoder), "device", property(lambda _: device))
    monkeypatch.setattr(session, "step", lambda: setattr(session, "_places", [session.span + 1]))
    monkeypatch.setattr(session, "clear", session.rewind)
    ticks = iter(range(10_000))
    monkeypatch.setattr(timed.time, "monotonic", lambda: float(next(ticks)))
    marks: list[int] = []
    latencies = timed.drive(session, lambda _, units: marks.append(units), after(42), group)
    assert latencies == [1.0] * 42
    *running, last = edges.waits
    assert [number for number, _ in running] == list(range(group, running[-1][0] + 1, group))
    assert all(queued - number >= pace.AHEAD for number, queued in running)
    assert last[0] == 42
    assert marks[0] == 0
    assert marks[-1] == 4 * 42
    assert all(units % (4 * group) == 0 for units in marks[:-1])


def test_a_step_is_timed_and_leaves_no_trace(tiny: dict[str, Any]) -> None:
    session = ready(tiny, steps=2)._session
    assert session is not None
    state = (session.tokens.clone(), session.positions.clone(), session.span)
    assert 0 < timed.step_seconds(session) < 1.0
    assert torch.equal(session.tokens, state[0])
    assert torch.equal(session.positions, state[1])
    assert session.span == state[2]
    assert int(session.made) == 0


def test_a_miscounting_run_is_caught(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    workload.run(ignore, after(5))
    workload._reported += 4
    outcome = {name: passed for name, passed, _ in workload.check()}
    assert outcome.pop("tokens reported = produced") is False
    assert all(outcome.values())


def test_the_facts_are_json_and_complete(tiny: dict[str, Any]) -> None:
    workload = ready(tiny, seed=7)
    facts = dict(workload.describe())
    json.dumps(facts, allow_nan=False)
    assert (facts["name"], facts["unit"], facts["backend"]) == ("decode", "token", "torch")
    config = facts["config"]
    assert config["model"] == "tiny"
    assert config["mean_context"] == 24 + 31 / 2
    assert config["n_params"] == ModelConfig.from_mapping(tiny).n_params()
    assert (config["threads"], config["seed"]) == (1, 7)
    assert facts["prefill"]["tokens"] == 4 * 24
    rate = facts["prefill"]["tokens"] / facts["prefill"]["seconds"]
    assert facts["prefill"]["tokens_per_s"] == pytest.approx(rate)
    assert facts["data_profile"]["init"] == "fan-in"
    assert facts["data_profile"]["degenerate"] == []
    assert len(facts["sources"]["model.py"]) == 64
    assert "device_uuid" not in facts


def test_weights_of_a_folder_are_used_and_hashed(tiny: dict[str, Any], tmp_path: Path) -> None:
    donor = ready(tiny, seed=5)
    assert donor._session is not None
    tensors = donor._session.decoder.named_weights()
    save_file({n: t.clone() for n, t in tensors.items()}, tmp_path / "model.safetensors")
    workload = ready(tiny, weights=str(tmp_path))
    assert workload._session is not None
    loaded = workload._session.decoder.named_weights()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert len(workload.describe()["sources"]["model.safetensors"]) == 64


def test_bf16_runs_on_a_cpu(tiny: dict[str, Any]) -> None:
    workload = ready(tiny, precision="bf16", batch=2)
    workload.run(ignore, after(8))
    assert all(passed for _, passed, _ in workload.check())


def test_stop_is_honoured_before_the_first_step(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    marks: list[int] = []
    workload.run(lambda _, units: marks.append(units), lambda: True)
    assert marks == [0, 0], "one as the run begins, one as it ends"
    assert workload.facts() == []
    assert all(passed for _, passed, _ in workload.check())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "tpu"}, "device must be cpu or cuda"),
        ({"precision": "int8"}, "precision must be one of fp32, bf16, fp8, int4"),
        ({"batch": 0}, "batch must be a whole number above 0"),
        ({"steps": 1.5}, "steps must be a whole number above 0"),
        (
            {"route": "fast"},
            r"route must be one of graph\+compile, graph, compile, fused, eager, not",
        ),
        ({"threads": 0}, "threads must be a whole number above 0"),
        ({"context": 200, "steps": 100}, "exceed the 256 tokens that tiny can hold"),
    ],
)
def test_an_impossible_plan_is_refused(
    tiny: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        DecodeWorkload(model=tiny, **change)


def test_cuda_without_a_device_is_said(tiny: dict[str, Any]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(RuntimeError, match="torch sees no CUDA device"):
        DecodeWorkload(device="cuda", model=tiny, steps=8).prepare()


def test_cudnn_attention_which_plans_at_every_span_is_off_on_a_gpu(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError("far enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(capacity, "require", refuse)
    assert torch.backends.cuda.cudnn_sdp_enabled()
    try:
        with pytest.raises(MemoryError, match="far enough"):
            DecodeWorkload(device="cuda", model=tiny, steps=8).prepare()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)


def test_what_cannot_fit_is_refused_before_it_is_allocated(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "free_bytes", lambda _: 40_000_000)
    DecodeWorkload(model=tiny, batch=8, context=64, steps=64, threads=1).prepare()
    allocated: list[object] = []
    monkeypatch.setattr(Session, "__init__", lambda *given: allocated.append(given))
    with pytest.raises(MemoryError, match=r"KV cache .* lower the batch or the context"):
        DecodeWorkload(model=tiny, batch=2000, context=64, steps=64).prepare()
    assert allocated == []


def test_free_memory_of_a_cpu_is_known_on_linux() -> None:
    free = capacity.free_bytes(torch.device("cpu"))
    assert free is not None
    assert free > 1e8


def test_marks_come_at_most_twenty_times_a_second(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = ready(tiny)
    ticks = iter(range(10_000))
    monkeypatch.setattr(timed.time, "monotonic", lambda: next(ticks) * 0.01)
    marks: list[float] = []
    workload.run(lambda t_s, _: marks.append(t_s), after(60))
    gaps = [b - a for a, b in itertools.pairwise(marks[:-1])]
    assert len(gaps) > 3
    assert min(gaps) >= 0.05 - 1e-9


def test_importing_the_workload_needs_no_torch() -> None:
    code = (
        "import sys, bench.kernels.decoder.workload as w; assert 'torch' not in sys.modules;"
        "from bench.kernels.decoder.opened import wait_passively; print(wait_passively())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.strip() == "passive"


@pytest.mark.parametrize("precision", ["fp8", "int4"])
def test_a_quantised_rung_says_what_it_costs(tiny: dict[str, Any], precision: str) -> None:
    workload = ready(tiny, precision=precision, batch=2, steps=8)
    facts = workload.describe()
    rung = facts["precision"]
    assert facts["config"]["rung"] == rung
    assert 0 < rung["kl_to_bf16"] < 0.1
    assert 0.5 < rung["top1_agreement"] <= 1
    assert rung["positions"] == 512
    assert 0.53 < rung["bytes_per_weight"] < 1.3
    workload.run(ignore, after(8))
    assert all(passed for _, passed, _ in workload.check())
    json.dumps(facts)


def test_quantised_real_weights_are_those_of_the_file() -> None:
    from bench.catalogue import load_model

    model = load_model("micro")
    figures = {}
    for precision in ("bf16", "int4"):
        workload = DecodeWorkload(
            model={"name": "micro", **model.config}, weights=model.weights, precision=precision,
            batch=2, context=16, steps=4, threads=1,
        )  # fmt: skip
        workload.prepare()
        figures[precision] = workload.describe()
    assert figures["int4"]["sources"] == figures["bf16"]["sources"]
    assert figures["int4"]["data_profile"]["init"] == model.weights
    assert figures["int4"]["config"]["rung"]["top1_agreement"] > 0.9, "on its own text"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"init": "ones"}, "init without weights is one of zeros, uniform01"),
        ({"init": "real"}, "not 'real'"),
        ({"init": "zeros", "weights": "shipped:micro"}, "of weights shipped:micro is one of real"),
        ({"precision": "int8"}, "precision must be one of fp32, bf16, fp8, int4"),
    ],
)
def test_a_kind_or_precision_that_cannot_be_meant(
    tiny: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        DecodeWorkload(model=tiny, **changes)

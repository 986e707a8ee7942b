import importlib.metadata
import itertools
import json
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from bench.kernels.decoder import capacity, operating, timed
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.opened import Setup
from bench.kernels.decoder.operating import Plan
from bench.kernels.decoder.requests import Mix
from bench.kernels.decoder.search import Point
from bench.kernels.decoder.serve import ServeWorkload

MIX: dict[str, Any] = {"prompt": 24, "output": 20, "threads": 1}


def ready(tiny: dict[str, Any], **changes: Any) -> ServeWorkload:
    workload = ServeWorkload(model=tiny, **{**MIX, "batch": 4, **changes})
    workload.prepare()
    return workload


def run(workload: ServeWorkload, turns: int, phase: Any = None) -> list[tuple[float, int]]:
    marks: list[tuple[float, int]] = []
    calls = iter(range(turns + 1))
    workload.run(lambda t_s, units: marks.append((t_s, units)), lambda: next(calls) == turns, phase)
    return marks


def events(workload: ServeWorkload) -> dict[str, dict[str, Any]]:
    return {fact["name"]: dict(fact["data"]) for fact in workload.facts()}


@pytest.mark.parametrize("kind", ["fixed", "ragged"])
def test_a_whole_life(tiny: dict[str, Any], kind: str) -> None:
    workload = ready(tiny, mix=kind)
    before = workload.verify()
    assert all(passed for _, passed, _ in before), before
    assert {"refilled slot: tokens", "refilled slot: logits"} <= {name for name, _, _ in before}
    marks = run(workload, 60)
    told = events(workload)
    assert set(told) == {"phase_time", "step_latency", "request_latency"}
    refills = told["request_latency"]["ttft"]["n"]
    assert refills >= 8
    assert marks[-1][1] == 4 * 60 + refills
    assert marks == sorted(marks)
    assert marks[-1][0] <= time.monotonic()
    assert told["step_latency"]["n"] == 4 * 60
    assert told["phase_time"]["decode_tokens"] == 4 * 60
    tpot = told["request_latency"]["tpot"]
    assert tpot["n"] == told["request_latency"]["whole_requests"] > 3
    assert told["phase_time"]["decode_s"] / 60 <= tpot["p99_s"]
    checks = workload.check()
    assert all(passed for _, passed, _ in checks), checks
    assert sum(name.startswith("request ") for name, _, _ in checks) == 3
    workload.close()
    with pytest.raises(RuntimeError, match="prepare"):
        workload.verify()


def test_phases_alone_between_runs_change_nothing(tiny: dict[str, Any]) -> None:
    workload = ready(tiny, mix="ragged")
    run(workload, 13)
    events(workload)
    decoded = run(workload, 30, "decode")
    assert decoded[-1][1] == 4 * 30
    told = events(workload)
    assert set(told) == {"phase_time"}
    assert told["phase_time"]["decode_tokens"] == 4 * 30
    assert told["phase_time"]["prefill_s"] == 0
    assert all(passed for _, passed, _ in workload.check())
    prompted = run(workload, 9, "prefill")
    told = events(workload)
    assert told["phase_time"]["prefill_tokens"] == prompted[-1][1] > 9 * 12
    assert told["phase_time"]["decode_tokens"] == 0
    assert all(passed for _, passed, _ in workload.check())
    run(workload, 40)
    checks = workload.check()
    assert all(passed for _, passed, _ in checks), checks
    with pytest.raises(ValueError, match="phase must be prefill, decode or None, not 'both'"):
        run(workload, 1, "both")


def test_verified_again_after_a_run(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    run(workload, 30)
    checks = workload.verify()
    assert all(passed for _, passed, _ in checks), checks
    run(workload, 30)
    assert all(passed for _, passed, _ in workload.check())


def test_a_miscounting_run_is_caught(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    run(workload, 30)
    workload._reported += 1
    outcome = {name: passed for name, passed, _ in workload.check()}
    assert outcome.pop("tokens reported = produced") is False
    assert all(outcome.values())


def test_a_wrong_token_in_a_finished_request_is_caught(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    run(workload, 30)
    assert workload._server is not None
    sample = workload._server.samples[0]
    with torch.inference_mode():
        sample.sequence[-1] = (sample.sequence[-1] + 1) % 256
    outcome = {name: passed for name, passed, _ in workload.check()}
    assert outcome[f"request {sample.number}"] is False


def test_a_run_that_serves_nothing_says_so(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    run(workload, 0)
    assert events(workload)["request_latency"]["tpot"] == {"n": 0}


def test_the_facts_are_json_and_complete(tiny: dict[str, Any]) -> None:
    facts = dict(ready(tiny, mix="ragged", seed=7).describe())
    json.dumps(facts, allow_nan=False)
    assert (facts["name"], facts["unit"], facts["backend"]) == ("serve", "token", "torch")
    config = facts["config"]
    assert (config["batch"], config["prompt"], config["output"]) == (4, 24, 20)
    assert config["mix"] == {"in_tokens": 24, "out_tokens": 20, "kind": "ragged", "spread": 0.5}
    assert config["slo_tpot_s"] is None, "the batch was given, no limit looked under"
    assert config["mean_context"] == Mix(24, 20, "ragged", 7).mean_context
    assert config["kv_capacity"] == 36 + 30 + 16
    assert facts["phases"] == ["prefill", "decode"]
    assert facts["search"] is None
    assert facts["launch_s"] < facts["tpot_p99_predicted_s"]
    assert facts["work"]["mean_context"] < facts["work"]["padded_context"] <= 36 + 30
    assert facts["data_profile"]["degenerate"] == []
    assert facts["roofs"]["read_bytes_per_s"] > 0


def test_the_weights_may_be_of_another_kind(tiny: dict[str, Any]) -> None:
    assert ready(tiny, init="normal").describe()["data_profile"]["init"] == "normal"


@pytest.mark.parametrize(
    ("slo_s", "fits", "expected"), [(0.025, 4096, (10, "slo")), (1.0, 13, (13, "memory"))]
)
def test_the_batch_is_found_under_the_limit_or_the_memory(
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    slo_s: float,
    fits: int,
    expected: tuple[int, str],
) -> None:
    monkeypatch.setattr(timed, "step_seconds", lambda session: 0.002 * len(session.lengths))
    monkeypatch.setattr(timed, "seconds_of", lambda *_: 0.01)
    monkeypatch.setattr(Plan, "room", lambda *_: fits)
    workload = ready(tiny, batch=None, slo_tpot_s=slo_s)
    facts = workload.describe()
    found = facts["search"]
    assert (facts["config"]["batch"], found["stopped_by"]) == expected
    tried = [point["batch"] for point in found["points"]]
    assert tried[:4] == [1, 2, 4, 8]
    assert tried[-1] == expected[0]
    assert [point["filled"] for point in found["points"]] == [False] * (len(tried) - 1) + [True]
    assert all((point["stop"] == "slo") == (point["tpot_p99_s"] > slo_s)
               for point in found["points"])  # fmt: skip
    run(workload, 20)
    assert all(passed for _, passed, _ in workload.check())


def test_filled_slots_are_judged_by_the_slowest_step_and_prefill(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sketch by the medians: one slow moment in it must not cost the batch."""
    steps = itertools.cycle([0.01, 0.01, 0.03])
    monkeypatch.setattr(timed, "step_seconds", lambda _: next(steps))
    monkeypatch.setattr(timed, "seconds_of", lambda *_: 0.0)
    monkeypatch.setattr(Plan, "room", lambda *_: 3)
    points = ready(tiny, batch=None, slo_tpot_s=0.02).describe()["search"]["points"]
    sketches = [point for point in points if not point["filled"]]
    filled = [point for point in points if point["filled"]]
    assert [point["tpot_p99_s"] for point in sketches] == pytest.approx([0.01] * 3)
    assert {point["stop"] for point in sketches} == {None}
    assert [point["tpot_p99_s"] for point in filled] == pytest.approx([0.03] * 3)
    assert {point["step_s"] for point in points} == {0.01}
    assert [point["batch"] for point in filled] == [3, 2, 1]


@pytest.mark.parametrize(("keeps", "filled"), [(26, [32, 28, 25]), (5, [32, 28, 25, 22])])
def test_a_batch_too_slow_once_filled_gives_way_to_a_smaller_one(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, keeps: int, filled: list[int]
) -> None:
    def slow(*given: Any, filled: bool) -> Point:
        batch = given[2].batch
        stop = "slo" if batch > (keeps if filled else 32) else None
        return Point(batch, 0.01, 0.01, 0.01, stop, filled)

    monkeypatch.setattr(operating.Trials, "_probe", slow)
    monkeypatch.setattr(Plan, "room", lambda *_: 4096)
    facts = ready(tiny, batch=None).describe()
    assert facts["config"]["batch"] == filled[-1], "the last of so many tries stands"
    points = facts["search"]["points"]
    assert [point["batch"] for point in points if point["filled"]] == filled


def test_memory_that_runs_out_after_all_ends_the_search(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(operating.Session):
        def __init__(self, decoder: Any, batch: int, capacity: int, **rest: Any) -> None:
            if batch > 5:
                raise torch.OutOfMemoryError("no room")
            super().__init__(decoder, batch, capacity, **rest)

    monkeypatch.setattr(operating, "Session", Short)
    facts = ready(tiny, batch=None, slo_tpot_s=60).describe()
    assert facts["config"]["batch"] == 5
    assert facts["search"]["stopped_by"] == "memory"
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        ready(tiny, batch=6)


def test_room_is_what_capacity_foresees(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "free_bytes", lambda _: 40_000_000)
    setup = Setup(ModelConfig.from_mapping(tiny), "cpu", "fp32", None, 1, 0)
    plan = Plan(setup, Mix(64, 64, "fixed", 0), 0.05)
    most = plan.room(torch.device("cpu"))
    assert 8 < most < 4096
    plan.require_room(most, torch.device("cpu"))
    with pytest.raises(MemoryError, match=f"batch {most + 1}"):
        plan.require_room(most + 1, torch.device("cpu"))
    monkeypatch.setattr(capacity, "free_bytes", lambda _: 1000)
    with pytest.raises(MemoryError, match="batch 1,"):
        plan.room(torch.device("cpu"))


def test_a_small_model_has_a_mix_that_it_can_hold(tiny: dict[str, Any]) -> None:
    assert ServeWorkload(model=tiny).mix == Mix(64, 64, "fixed", 0)
    assert ServeWorkload(model=tiny | {"max_context": 8192}).mix == Mix(1024, 1024, "fixed", 0)


def test_preparing_again_changes_the_waits_alone(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    first = dict(workload.describe())
    workload.prepare(group_s=7.3 * first["launch_s"])
    assert workload._group == 7
    assert workload.describe() == first, "on a CPU every step is waited for"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "tpu"}, "device must be cpu or cuda"),
        ({"batch": 0}, "batch must be a whole number above 0"),
        ({"slo_tpot_s": 0}, "slo_tpot_s must be seconds above 0, not 0"),
        ({"slo_tpot_s": float("nan")}, "slo_tpot_s must be seconds above 0"),
        ({"mix": "odd"}, "mix must be fixed or ragged"),
        ({"route": "fast"}, r"route must be one of graph\+compile, .* eager, not 'fast'"),
        ({"prompt": 200, "output": 100}, "up to 200 tokens in and 100 out exceeds the 256"),
        ({"prompt": 100, "output": 100, "mix": "ragged"}, "up to 150 tokens in and 150 out"),
    ],
)
def test_an_impossible_plan_is_refused(
    tiny: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ServeWorkload(model=tiny, **change)


@pytest.mark.parametrize("name", ["serve", "prefill"])
def test_opening_by_name_needs_no_torch(tiny: dict[str, Any], name: str) -> None:
    point = importlib.metadata.entry_points(group="joulemark.workloads")[name].value
    module, kind = point.split(":")
    code = (
        f"import sys, {module} as m; w = m.{kind}(model={tiny!r}); "
        "assert 'torch' not in sys.modules; print(w.name, w.unit)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [name, "token"]

import json
from typing import Any

import pytest
import torch

from bench.kernels.decoder.prefill import PrefillWorkload


def ready(tiny: dict[str, Any], **changes: Any) -> PrefillWorkload:
    workload = PrefillWorkload(model=tiny, **{"prompt": 40, "batch": 3, "threads": 1, **changes})
    workload.prepare()
    return workload


def run(workload: PrefillWorkload, passes: int) -> list[tuple[float, int]]:
    marks: list[tuple[float, int]] = []
    calls = iter(range(passes + 1))
    workload.run(lambda t_s, units: marks.append((t_s, units)), lambda: next(calls) == passes)
    return marks


def test_a_whole_life(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    before = workload.verify()
    assert all(passed for _, passed, _ in before), before
    marks = run(workload, 12)
    assert marks[-1][1] == 12 * 3 * 40, "prompt tokens"
    (latency,) = workload.facts()
    assert latency["name"] == "request_latency"
    assert latency["data"]["ttft"]["n"] == 12 * 3
    assert latency["data"]["ttft"]["p50_s"] <= latency["data"]["ttft"]["p99_s"]
    assert latency["data"]["tpot"] == {"n": 0}
    checks = workload.check()
    assert all(passed for _, passed, _ in checks), checks
    assert [name for name, _, _ in checks] == [
        "last pass: tokens", "last pass: logits", "tokens reported = produced",
    ]  # fmt: skip
    workload.close()
    with pytest.raises(RuntimeError, match="prepare"):
        workload.check()


def test_no_prompt_comes_twice(tiny: dict[str, Any]) -> None:
    workload = ready(tiny)
    session = workload._session
    assert session is not None
    given: list[tuple[int, ...]] = []
    prefill = session.prefill
    session.prefill = lambda prompts: (given.extend(map(tuple, prompts)), prefill(prompts))[1]  # type: ignore[method-assign]
    workload.verify()
    run(workload, 10)
    assert len({prompt[:4] for prompt in given}) == 3 * 11


def test_a_prompt_may_fill_the_model(tiny: dict[str, Any]) -> None:
    workload = ready(tiny, prompt=256, batch=2)
    assert all(passed for _, passed, _ in workload.verify())
    assert run(workload, 2)[-1][1] == 2 * 2 * 256
    assert all(passed for _, passed, _ in workload.check())


@pytest.mark.parametrize("harm", ["logits", "token", "count"])
def test_a_harmed_run_is_caught(tiny: dict[str, Any], harm: str) -> None:
    workload = ready(tiny)
    run(workload, 3)
    session = workload._session
    assert session is not None
    with torch.inference_mode():
        session.logits[2, 5] += 0.01 if harm == "logits" else 0.0
        session.history[0, 40] = (session.history[0, 40] + (harm == "token")) % 256
    workload._reported += harm == "count"
    wrong = [name for name, passed, _ in workload.check() if not passed]
    assert wrong == {"logits": ["last pass: logits"], "token": ["last pass: tokens"],
                     "count": ["tokens reported = produced"]}[harm]  # fmt: skip


def test_an_unwritten_output_is_caught(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = ready(tiny)
    session = workload._session
    assert session is not None
    prefill = session.decoder.prefill

    def last_row_lost(*given: Any) -> torch.Tensor:
        return torch.cat([prefill(*given)[:-1], torch.full((1, 256), torch.nan)])

    monkeypatch.setattr(session.decoder, "prefill", last_row_lost)
    assert ("prefill: finite", False) in [check[:2] for check in workload.verify()]


def test_the_facts_are_json_and_complete(tiny: dict[str, Any]) -> None:
    facts = dict(ready(tiny).describe())
    json.dumps(facts, allow_nan=False)
    assert (facts["name"], facts["unit"]) == ("prefill", "token")
    assert (facts["config"]["prompt"], facts["config"]["batch"]) == (40, 3)
    assert facts["work"]["prompt"] == 40
    assert "batch" not in facts["work"], "its tokens are prompts' own"
    assert facts["work"]["bytes_per_weight"] == 4
    assert "phases" not in facts


@pytest.mark.parametrize("precision", ["fp8", "int4"])
def test_a_quantised_rung_prefills_what_it_weighs(tiny: dict[str, Any], precision: Any) -> None:
    workload = ready(tiny, precision=precision)
    assert all(passed for _, passed, _ in workload.verify())
    per_weight = workload.describe()["work"]["bytes_per_weight"]
    assert 0.5 < per_weight < 2
    assert run(workload, 2)[-1][1] == 2 * 3 * 40
    assert all(passed for _, passed, _ in workload.check())


def test_the_weights_may_be_of_another_kind(tiny: dict[str, Any]) -> None:
    assert ready(tiny, init="zeros").describe()["data_profile"]["init"] == "zeros"
    with pytest.raises(ValueError, match="init without weights is one of"):
        PrefillWorkload(model=tiny, init="ones")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": 257}, "prompt must be 16 to 256 tokens"),
        ({"prompt": 15}, "prompt must be 16 to 256 tokens"),
        ({"batch": 0}, "batch must be a whole number above 0"),
        ({"precision": "fp7"}, "precision must be"),
    ],
)
def test_an_impossible_plan_is_refused(
    tiny: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        PrefillWorkload(model=tiny, **change)


def test_what_cannot_fit_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(MemoryError, match="KV cache"):
        PrefillWorkload(model=tiny, prompt=200, batch=10_000_000).prepare()

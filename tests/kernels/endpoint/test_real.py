"""The whole workload against a real server with real weights: transformers' own, on this CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from bench.kernels.endpoint.workload import EndpointWorkload

from .conftest import WEIGHTS, Real

pytestmark = pytest.mark.slow

RUN_S = 2.5
Marks = list[tuple[float, int]]


def ran(workload: EndpointWorkload, seconds: float = RUN_S) -> tuple[Marks, dict[str, Any]]:
    """The marks of a run and its facts by name."""
    marks: Marks = []
    until_s = time.monotonic() + seconds
    workload.run(lambda t, units: marks.append((t, units)), lambda: time.monotonic() > until_s)
    return marks, {str(fact["name"]): fact["data"] for fact in workload.facts()}


@pytest.fixture(scope="module")
def prepared(real: Real) -> EndpointWorkload:
    workload = EndpointWorkload(
        real.url, model_id=real.model, prompt=48, output=12, concurrency=2, tier="T0"
    )
    workload.prepare()
    return workload


def test_what_runs_is_on_record(prepared: EndpointWorkload, real: Real) -> None:
    said = prepared.describe()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["tier"] == "T0"
    assert real.pid in said["server_pids"]
    config = said["config"]
    assert (config["model"], config["server"]) == ("./micro", "uvicorn")
    assert config["extensions"] == ["stream_options"]  # it refuses ignore_eos by name
    assert said["prefix_cache"]["kept"] is False
    assert said["hang_up"]["stops"] is True
    assert said["data_profile"]["degenerate"] == []


def test_the_same_model_gives_the_same_text(real: Real) -> None:
    """The golden continuation of the shipped weights comes out of the server."""
    golden = json.loads((WEIGHTS / "micro_golden.json").read_text("utf-8"))["golden"][0]
    asked = {"prompt": golden["prompt"], "max_tokens": len(golden["continuation"])}
    body = {"model": real.model, "temperature": 0, **asked}
    request = urllib.request.Request(
        f"{real.url}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        text = json.load(response)["choices"][0]["text"]
    assert text == golden["continuation"]


def test_everything_verifies_and_counts_agree(prepared: EndpointWorkload) -> None:
    checks = prepared.verify()
    assert all(passed for _, passed, _ in checks), checks
    assert "the same text twice" in {detail for *_, detail in checks}
    marks, facts = ran(prepared)
    units = [each for _, each in marks]
    assert units == sorted(units)
    assert units[0] == 0 < units[-1]
    requests = facts["requests"]
    assert requests["failed"] == 0
    assert requests["completed"] > 0
    assert requests["produced_tokens"] == requests["requested_tokens"] == requests["pieces"]
    assert units[-1] == requests["counted"]
    assert facts["step_latency"]["n"] > 0
    assert facts["request_latency"]["ttft"]["p50_s"] > 0
    assert all(passed for _, passed, _ in prepared.check())


def test_prompts_have_the_length_asked_for(prepared: EndpointWorkload) -> None:
    """Words are of several lengths in bytes, so the mean is what can be met."""
    _, facts = ran(prepared, 1.5)
    requests = facts["requests"]
    opening = 12 / 2  # of two opening requests one is half an answer along, its prompt longer
    mean = requests["input_tokens"] / requests["completed"]
    assert 48 * 0.8 <= mean <= 48 * 1.2 + opening


def test_poisson_arrivals_and_the_chat_api(real: Real) -> None:
    """No chat template exists for these weights: the refusal names it, nothing crashes."""
    chat = EndpointWorkload(real.url, model_id=real.model, prompt=16, output=4, api="chat")
    with pytest.raises(ValueError, match=r"does not serve chat of \./micro"):
        chat.prepare()
    poisson = EndpointWorkload(
        real.url, model_id=real.model, prompt=16, output=4, load="poisson", rate_hz=4.0
    )
    poisson.prepare()
    _, facts = ran(poisson)
    assert facts["requests"]["completed"] > 0
    assert facts["requests"]["late_p99_s"] is not None


def test_a_worker_process_serves_it_too(real: Real) -> None:
    """By its entry point, through the pipes, as the harness would."""
    from bench.workers import ProcessWorker

    arguments = {"url": real.url, "model_id": real.model, "prompt": 16, "output": 4}
    worker = ProcessWorker("endpoint", {**arguments, "concurrency": 1}, {})
    try:
        facts = worker.prepare(None)
        assert facts.details["server_pids"] == [real.pid]
        assert all(check.passed for check in worker.verify())
        worker.start()
        time.sleep(1.0)
        names = {getattr(fact, "name", None) for fact in worker.stop()}
        assert {"requests", "request_latency"} <= names
    finally:
        worker.close()


def test_the_workload_imports_nothing_heavy() -> None:
    code = (
        "import sys; import bench.kernels.endpoint.workload;"
        "print([m for m in ('aiohttp', 'psutil', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

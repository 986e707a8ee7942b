from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from bench.kernels.decoder import gate, ladder, model
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

from .conftest import advance, expected, lives_by_the_reference

Build = Callable[..., Decoder]
Prompts = list[list[int]]
SYNCS = ("aten::item", "aten::_local_scalar_dense", "aten::_to_copy", "aten::nonzero")


@pytest.fixture(scope="module", autouse=True)
def _compiled_code_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(scope="module")
def make() -> Any:
    """Compiled sessions of three rows, one for each set of flags: compiling is what takes time."""
    made: dict[str, Session] = {}

    def session(build: Build, **flags: Any) -> Session:
        key = str(flags)
        if key not in made:
            made[key] = Session(build(**flags), 3, 112, route="compile")
        return made[key]

    return session


@pytest.mark.parametrize("flags", [{}, {"sliding_window": 12, "qk_norm": True}], ids=str)
def test_compiled_ragged_rows_refills_and_rewinds_equal_the_reference(
    make: Any, build: Build, prompts: Prompts, flags: dict[str, Any]
) -> None:
    session = make(build, **flags)
    facts = session.facts()
    assert (facts["route"], facts["fallbacks"]) == ("compile", [])
    assert facts["compile_s"] > 0
    lives_by_the_reference(session, prompts)
    assert session.facts()["recompiles"] == 0, "whatever the span, the row lengths and the refills"
    assert session.facts()["span_bucket"] == 64


def test_the_gate_passes_on_the_compiled_buffers(make: Any, build: Build, prompts: Prompts) -> None:
    session = make(build)
    session.prefill(prompts)
    checks = gate.verify(session, prompts)
    assert all(passed for _, passed, _ in checks), checks
    assert session.facts()["recompiles"] == 0


def test_nothing_in_the_loop_waits_for_a_value(make: Any, build: Build, prompts: Prompts) -> None:
    session = make(build)
    session.prefill(prompts)
    session.step()
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        advance(session, 8)
    names = {event.key for event in trace.key_averages()}
    assert any("CompiledFxGraph" in name for name in names)
    assert not names & set(SYNCS)


@pytest.mark.parametrize("route", ["graph+compile", "graph"])
def test_without_cuda_the_ladder_ends_at_eager_and_says_why(
    build: Build, prompts: Prompts, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda step, **_: compiled.append(step) or step)
    session = Session(build(), 3, 64, route=route)
    facts = session.facts()
    assert facts["route"] == "eager"
    assert [reason.split(":")[0] for reason in facts["fallbacks"]] == list(
        ladder.ROUTES[route][:-1]
    )
    assert all(reason.endswith("graphs are CUDA's") for reason in facts["fallbacks"])
    assert compiled == [], "seconds of compiling for what a CPU cannot have"
    session.prefill(prompts)
    session.step()
    assert session.facts()["steps"] == 1


def test_without_a_compiler_the_step_is_eager_and_says_why(
    build: Build, prompts: Prompts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    session = Session(build(), 3, 64, route="compile")
    (fallback,) = session.facts()["fallbacks"]
    assert fallback.startswith("compile: ")
    assert "compiler" in fallback
    session.prefill(prompts)
    advance(session, 4)
    assert session.produced(0) == expected(session.decoder, prompts[0], 5)


def starve(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def starve_inside_the_compiler(step: object, **_: object) -> None:
    try:
        starve(step)
    except RuntimeError as error:
        raise RuntimeError("backend='inductor' raised") from error


def starve_and_fail_to_end(step: object, **_: object) -> None:
    try:
        starve(step)
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


def starve_the_host(*_: object, **__: object) -> None:
    raise MemoryError("of the host")


@pytest.mark.parametrize(
    ("compiler", "kind", "text"),
    [
        (starve, torch.OutOfMemoryError, "2 GiB"),
        (starve_inside_the_compiler, torch.OutOfMemoryError, "2 GiB"),
        (starve_and_fail_to_end, torch.OutOfMemoryError, "2 GiB"),
        (starve_the_host, MemoryError, "host"),
    ],
)
def test_memory_that_runs_out_is_no_slower_route(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    compiler: Callable[..., None],
    kind: type[BaseException],
    text: str,
) -> None:
    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(kind, match=text):
        Session(build(), 3, 64, route="compile")


def test_an_unknown_route_is_refused(build: Build) -> None:
    with pytest.raises(ValueError, match=r"route must be one of graph\+compile, .*, not 'fast'"):
        Session(build(), 1, 8, route="fast")


def test_attention_as_spelt_equals_the_library_s_and_lets_no_nan_pass() -> None:
    generator = torch.Generator().manual_seed(4)
    q = torch.randn(3, 2, 4, 16, generator=generator)
    k, v = torch.randn(2, 3, 2, 50, 16, generator=generator)
    seen = torch.arange(50) <= torch.tensor([[3], [20], [49]])
    plain = model.step_attention(q.flatten(1, 2), k, v, seen)
    k[0, :, 4:], v[0, :, 4:] = torch.nan, torch.nan
    spelt = model.spelt_attention(q, k, v, seen).flatten(1, 2)
    torch.testing.assert_close(spelt, plain, rtol=1e-5, atol=1e-5)

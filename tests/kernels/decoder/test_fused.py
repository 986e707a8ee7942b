from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
import torch

from bench.kernels.decoder import cpu_step, cpu_words, fused, gate
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

from .conftest import advance, lives_by_the_reference

Build = Callable[..., Decoder]
Prompts = list[list[int]]
FLAGS = [{}, {"sliding_window": 12, "qk_norm": True}]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_ragged_rows_refills_and_rewinds_equal_the_reference(
    build: Build, prompts: Prompts, flags: dict[str, Any], threads: int
) -> None:
    session = opened(build(**flags), 3, 112, threads)
    lives_by_the_reference(session, prompts)
    facts = session.facts()
    assert (facts["route"], facts["fallbacks"], facts["recompiles"]) == ("fused", [], 0)
    assert facts["span_bucket"] == session.span


def opened(decoder: Decoder, batch: int, capacity: int, threads: int) -> Session:
    """A session whose steps are made by exactly so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        session = Session(decoder, batch, capacity, route="fused")
    finally:
        torch.set_num_threads(before)
    assert isinstance(session._route, fused.Fused)
    session._route.threads = threads
    return session


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 9])
def test_every_batch_equals_the_eager_step(build: Build, batch: int) -> None:
    decoder = build()
    generator = torch.Generator().manual_seed(batch)
    rows = torch.randint(decoder.config.vocab_size, (batch, 11), generator=generator).tolist()
    made = []
    for route in ("fused", "eager"):
        session = Session(decoder, batch, 40, route=route)
        session.prefill(rows)
        advance(session, 12)
        assert session.facts()["fallbacks"] == []
        made.append(session)
    assert torch.equal(made[0].history, made[1].history)
    torch.testing.assert_close(made[0].logits, made[1].logits, rtol=1e-4, atol=1e-4)
    for mine, other in zip(made[0].cache.slots, made[1].cache.slots, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_the_gate_passes_on_the_very_buffers(
    build: Build, prompts: Prompts, flags: dict[str, Any], dtype: torch.dtype
) -> None:
    session = Session(build(dtype=dtype, **flags), 3, 112, route="fused")
    session.prefill(prompts)
    checks = gate.verify(session, prompts)
    assert all(passed for _, passed, _ in checks), checks
    assert session.facts()["route"] == "fused"
    assert session.facts()["recompiles"] == 0


def test_a_step_beyond_the_cache_is_refused(build: Build, prompts: Prompts) -> None:
    session = Session(build(), 1, 8, route="fused")
    session.prefill([prompts[0]])
    advance(session, 3)
    assert session.facts()["route"] == "fused"
    with pytest.raises(IndexError, match="a step over 9 slots of 8"):
        session.step()


def test_an_interrupted_step_holds_nobody_and_ends_the_session(
    build: Build, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(build(), 3, 64, 2)
    session.prefill(prompts)
    route = session._route
    assert isinstance(route, fused.Fused)

    def interrupted(*given: Any) -> None:
        if given[-2] == 0:
            raise KeyboardInterrupt
        cpu_step.step(*given)

    monkeypatch.setattr(route, "_compiled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.step()
    route._pool.shutdown(wait=True)
    with pytest.raises(RuntimeError, match="a step was interrupted: open another session"):
        session.step()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"n_experts": 4, "experts_per_token": 2}, "a mixture of experts is not fused"),
        ({"max_context": 64}, "112 slots exceed the 64 positions"),
    ],
)
def test_what_is_not_fused_runs_eagerly_and_says_why(
    build: Build, flags: dict[str, Any], said: str
) -> None:
    facts = Session(build(**flags), 3, 112, route="fused").facts()
    assert facts["route"] == "eager"
    assert facts["fallbacks"] == [f"fused: ValueError: {said}"]


@pytest.mark.parametrize(("most", "slow", "best"), [(1, 1, 1), (2, 2, 1), (2, 1, 2), (6, 1, 6)])
def test_the_fastest_number_of_threads_is_taken(
    build: Build, monkeypatch: pytest.MonkeyPatch, most: int, slow: int, best: int
) -> None:
    """``slow`` is the number of threads whose steps take the longest, and others the less."""

    def seconds(route: fused.Fused) -> float:
        return 1.0 / (1 + abs(route.threads - slow))

    monkeypatch.setattr(fused.Fused, "_timed", seconds)
    before = torch.get_num_threads()
    torch.set_num_threads(most)
    try:
        session = Session(build(), 1, 16, route="fused")
    finally:
        torch.set_num_threads(before)
    assert session.facts()["threads"] == best


def test_e_to_the_power_of_x_is_that_of_fp64() -> None:
    x = np.linspace(-87, 87, 10_001, dtype=np.float32)
    found = np.array([cpu_step._exp(each) for each in x])
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=3e-7)
    assert np.isnan(cpu_step._exp(np.float32(np.nan))), "a slot that leaks must show"


@numba.njit
def narrowed(value: Any, kind: Any) -> Any:
    return cpu_words.narrow(value, kind)


def test_bits_of_bf16_are_rounded_as_torch_does() -> None:
    values = torch.randn(4096, generator=torch.Generator().manual_seed(1)) * 1e3
    values[:2] = torch.tensor([1.00390625, 1.01171875])  # ties: to even, down and up
    kind = np.empty(0, np.uint16)
    bits = np.array([narrowed(each, kind) for each in values.numpy()])
    assert np.array_equal(bits, values.bfloat16().view(torch.uint16).numpy())

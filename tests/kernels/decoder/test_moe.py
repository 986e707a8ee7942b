"""The mixture's three forms against plain loops, and its place in the decoder."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from bench.kernels.decoder import gate, moe
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder

EXPERTS = {"n_experts": 8, "experts_per_token": 2, "d_ffn": 48}


@pytest.fixture
def experts(build: Callable[..., Decoder]) -> moe.Experts:
    layer = build(**EXPERTS).layers[0]
    assert isinstance(layer.experts, moe.Experts)
    return layer.experts


def plainly(experts: moe.Experts, x: torch.Tensor) -> torch.Tensor:
    """Token by token, expert by expert."""
    rows = []
    for token in x:
        scores, chosen = (experts.router @ token).topk(experts.chosen)
        row = torch.zeros_like(token)
        for share, expert in zip(scores.softmax(0), chosen, strict=True):
            gate_, up = (experts.gate_up[expert] @ token).chunk(2)
            row += share * (experts.down[expert] @ (functional.silu(gate_) * up))
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("tokens", [1, 4, 5, 33])
@pytest.mark.parametrize("groups", [False, True], ids=["as on this device", "grouped"])
def test_every_form_equals_the_plain_loop(
    experts: moe.Experts, tokens: int, groups: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts.grouped = groups
    monkeypatch.setattr(moe, "DENSE_TOKENS", 16)
    x = torch.randn(tokens, 64, generator=torch.Generator().manual_seed(tokens))
    torch.testing.assert_close(experts(x), plainly(experts, x), rtol=1e-5, atol=1e-6)
    batched = x.view(1, tokens, 64)
    torch.testing.assert_close(experts(batched)[0], experts(x), rtol=1e-5, atol=1e-6)


def test_all_tokens_on_one_expert_leave_the_others_empty(experts: moe.Experts) -> None:
    experts.grouped = True
    experts.router.zero_()[:2] = 1.0
    x = torch.rand(9, 64)
    torch.testing.assert_close(experts(x), plainly(experts, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("tokens", "grouped"), [(3, False), (40, False), (40, True)])
def test_a_mixture_compiles_whole_and_once(
    experts: moe.Experts, tokens: int, grouped: bool
) -> None:
    """No break of the graph, and no guard on which experts were chosen."""
    experts.grouped = grouped
    dtype = torch.bfloat16 if grouped else torch.float32  # all that the compiler knows it for
    experts.to(dtype)
    torch._dynamo.reset()
    traced = 0

    def count(graph: Any, _inputs: Any) -> Any:
        nonlocal traced
        traced += 1
        return graph.forward

    compiled = torch.compile(experts, fullgraph=True, backend=count, dynamic=False)
    for seed in range(3):
        x = torch.randn(tokens, 64, generator=torch.Generator().manual_seed(seed)).to(dtype)
        torch.testing.assert_close(compiled(x), experts(x))
    assert traced == 1
    torch._dynamo.reset()


def test_the_gate_passes_a_mixture_and_catches_a_swapped_expert(
    build: Callable[..., Decoder], prompts: list[list[int]]
) -> None:
    decoder = build(**EXPERTS)
    session = Session(decoder, 3, 60)
    session.prefill([prompt[:5] for prompt in prompts])
    assert all(passed for _, passed, _ in gate.verify(session, [p[:5] for p in prompts]))
    traces = gate.decode(decoder, prompts, 8)
    decoder.layers[1].experts.down[[0, 1]] = decoder.layers[1].experts.down[[1, 0]]
    assert not all(passed for _, passed, _ in gate.judge(decoder, traces, "swapped"))


def test_a_swapped_expert_is_caught_in_16_bits_too(
    build: Callable[..., Decoder], prompts: list[list[int]]
) -> None:
    decoder = build(torch.bfloat16, **EXPERTS)
    assert all(ok for _, ok, _ in gate.judge(decoder, gate.decode(decoder, prompts, 24), "honest"))
    honest = decoder.named_weights()
    broken = build(torch.bfloat16, **EXPERTS)
    down = broken.layers[1].experts.down
    down[[0, 1]] = down[[1, 0]]
    decoded = gate.decode(broken, prompts, 24)
    broken.named_weights = lambda: honest
    assert not all(ok for _, ok, _ in gate.judge(broken, decoded, "swapped"))


def test_weights_of_a_mixture_are_views_under_their_names(build: Callable[..., Decoder]) -> None:
    decoder = build(**EXPERTS)
    named = decoder.named_weights()
    assert {name: tuple(t.shape) for name, t in named.items()} == decoder.config.shapes()
    named["model.layers.1.mlp.experts.7.up_proj.weight"].fill_(7.0)
    assert float(decoder.layers[1].experts.gate_up[7, -1, -1]) == 7.0
    assert decoder.config.n_params() == sum(t.numel() for t in named.values())


@pytest.mark.parametrize(
    "case",
    [
        ((9, 0), torch.bfloat16, 48, True),
        ((8, 9), torch.bfloat16, 48, False),
        ((9, 0), torch.float32, 48, False),
        ((9, 0), torch.bfloat16, 44, False),
    ],
)
def test_products_are_grouped_where_the_device_takes_bounds_of_its_own(
    build: Callable[..., Decoder],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[tuple[int, int], torch.dtype, int, bool],
) -> None:
    capability, dtype, d_ffn, has = case
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    config = build(**EXPERTS | {"d_ffn": d_ffn}).config
    assert moe.has_grouped_products(config, torch.device("cuda"), dtype) is has
    assert not moe.has_grouped_products(config, torch.device("cpu"), dtype)


def test_a_dense_model_has_no_experts(build: Callable[..., Decoder]) -> None:
    config = build().config
    with pytest.raises(ValueError, match="has no experts"):
        moe.Experts(config, torch.device("cpu"), torch.float32)

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.kernels.decoder import gate, model, reference
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder, KVCache

Build = Callable[..., Decoder]
Prompts = list[list[int]]


def verdicts(decoder: Decoder, batch: int = 4, context: int = 40) -> dict[str, bool]:
    """Outcome of the whole gate on a session of distinct random prompts."""
    generator = torch.Generator().manual_seed(2)
    prompts = torch.randint(256, (batch, context), generator=generator).tolist()
    session = Session(decoder, batch, context + 32)
    session.prefill(prompts)
    return {name: passed for name, passed, _ in gate.verify(session, prompts)}


@pytest.mark.parametrize(
    "flags",
    [{}, {"n_kv_heads": 1}, {"qk_norm": True, "tied_head": True}, {"sliding_window": 12}],
    ids=str,
)
def test_an_honest_decoder_passes(build: Build, flags: dict[str, Any]) -> None:
    assert all(verdicts(build(**flags)).values())


def test_one_row_and_short_contexts_pass(build: Build) -> None:
    assert all(verdicts(build(), batch=1, context=1).values())
    assert all(verdicts(build(max_context=48), batch=2, context=16).values())


def test_bf16_passes_its_own_gate(build: Build) -> None:
    assert all(verdicts(build(torch.bfloat16)).values())


def test_cached_greedy_equals_the_uncached_reference(build: Build, prompts: Prompts) -> None:
    decoder = build()
    session = Session(decoder, 3, 40 + 64)
    session.prefill(prompts)
    scores = [session.logits.clone()]
    for _ in range(63):
        session.step()
        scores.append(session.logits.clone())
    for row, prompt in enumerate(prompts):
        tokens, expected = reference.greedy(decoder.config, decoder.named_weights(), prompt, 64)
        assert session.produced(row) == tokens
        own = torch.stack([score[row] for score in scores])
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


def zeroed_kv_head(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    write = KVCache.write_step

    def without_head(self: KVCache, layer: int, positions: Any, kv: torch.Tensor) -> None:
        kv = kv.clone()
        if layer == len(self.slots) - 1:
            kv[:, :, 0] = 0.0
        write(self, layer, positions, kv)

    patch.setattr(KVCache, "write_step", without_head)


def position_off_by_one(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    step = Decoder.step

    def late(self: Decoder, *given: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "cos", self.cos.roll(-1, 0))
            inner.setattr(self, "sin", self.sin.roll(-1, 0))
            return step(self, *given)

    patch.setattr(Decoder, "step", late)


def wrong_rope_base(patch: pytest.MonkeyPatch, decoder: Decoder) -> None:
    other = type(decoder.config)(
        **{
            name: getattr(decoder.config, name)
            for name in type(decoder.config).__dataclass_fields__
            if name != "rope_theta"
        },
        rope_theta=20000.0,
    )
    cos, sin = model.rope_table(other)
    patch.setattr(decoder, "cos", cos.float())
    patch.setattr(decoder, "sin", sin.float())


def dropped_causal_mask(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    def open_attention(q: Any, k: Any, v: Any, _: Any) -> Any:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    patch.setattr(model, "prompt_attention", open_attention)


def dropped_ragged_mask(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    patch.setattr(Decoder, "_seen", lambda *_: None)


def one_slot_too_few(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    read = KVCache.read

    def shorter(self: KVCache, layer: int, span: int) -> Any:
        keys, values = read(self, layer, span)
        return keys[:, :, 1:], values[:, :, 1:]

    attend = model.step_attention
    patch.setattr(KVCache, "read", shorter)
    patch.setattr(
        model,
        "step_attention",
        lambda q, k, v, seen: attend(q, k, v, None if seen is None else seen[:, 1:]),
    )


def one_slot_too_many(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    read = KVCache.read
    patch.setattr(KVCache, "read", lambda self, layer, span: read(self, layer, span + 1))
    patch.setattr(Decoder, "_seen", lambda *_: None)


def nan_reaches_masked_values(patch: pytest.MonkeyPatch, _: Decoder) -> None:
    def careless(q: Any, k: Any, v: Any, seen: Any) -> Any:
        grouped = q.view(len(q), k.shape[1], -1, q.shape[-1])
        mask = None if seen is None else seen[:, None, None]
        return F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask).flatten(1, 2)

    patch.setattr(model, "step_attention", careless)


MUTATIONS = [
    zeroed_kv_head,
    position_off_by_one,
    wrong_rope_base,
    dropped_causal_mask,
    dropped_ragged_mask,
    one_slot_too_few,
    one_slot_too_many,
    nan_reaches_masked_values,
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("mutate", MUTATIONS)
def test_a_broken_decoder_fails(
    build: Build, monkeypatch: pytest.MonkeyPatch, mutate: Any, dtype: torch.dtype
) -> None:
    decoder = build(dtype)
    mutate(monkeypatch, decoder)
    assert not all(verdicts(decoder).values())


def test_a_row_that_depends_on_its_neighbours_fails(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Decoder._blocks

    def mixing(self: Decoder, x: torch.Tensor, turns: Any, attend: Any) -> torch.Tensor:
        return blocks(self, x + 0.1 * x.mean(0, keepdim=True), turns, attend)

    monkeypatch.setattr(Decoder, "_blocks", mixing)
    assert verdicts(build())["row alone = row in batch"] is False


def test_verify_leaves_the_session_rewound_and_poisoned(build: Build, prompts: Prompts) -> None:
    session = Session(build(), 3, 64)
    session.prefill(prompts)
    first = session.tokens.tolist()
    gate.verify(session, prompts)
    assert session.tokens.tolist() == first
    assert session.positions.tolist() == [5, 17, 40]
    assert math.isnan(float(session.cache.slots[0][0, 0, 0, 5, 0]))
    assert all(bool(slots[:, 2, :, :40].isfinite().all()) for slots in session.cache.slots)


def test_recheck_accepts_what_was_decoded_and_refuses_what_was_not(
    build: Build, prompts: Prompts
) -> None:
    session = Session(build(), 3, 64)
    session.prefill(prompts)
    for _ in range(10):
        session.step()
    assert all(passed for _, passed, _ in gate.recheck(session))
    session.history[2, 45] = (session.history[2, 45] + 1) % 256
    assert [passed for _, passed, _ in gate.recheck(session)] == [True, True, False]


def test_recheck_misses_no_token_of_any_row(build: Build, prompts: Prompts) -> None:
    session = Session(build(), 3, 64)
    session.prefill(prompts)
    for _ in range(10):
        session.step()
    session.history[1, 20] = -1
    found = {name: passed for name, passed, _ in gate.recheck(session)}
    assert found["no output is cut short"] is False
    assert found["row 0 after the run"] is True


def latin(tokens: list[int]) -> str:
    return bytes(tokens).decode("latin-1")


def test_golden_prompts_must_match_and_lead(build: Build, prompts: Prompts) -> None:
    decoder = build()
    tokens, scores = reference.greedy(decoder.config, decoder.named_weights(), prompts[0], 4)
    best = scores.topk(2, dim=-1).values
    leads = bool((best[:, 0] - best[:, 1]).min() > gate.GOLDEN_MARGIN)
    case = {"prompt": latin(prompts[0]), "continuation": latin(tokens)}
    assert gate.golden(decoder, [case])[1] is leads
    case["continuation"] = latin([*tokens[:-1], (tokens[-1] + 1) % 256])
    assert gate.golden(decoder, [case])[1] is False

"""Decoders that are wrong in one way each: the gate must refuse them, and no honest one.

Most are made by weights that differ from those the decoder says it has, so that they hold for any
way of running it; the others replace what a session does.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from bench.kernels.decoder import gate, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder, rope_table

from .conftest import TINY

Build = Callable[..., Decoder]
Patch = pytest.MonkeyPatch
SEEDS = range(20)


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch: Patch) -> None:
    """Fewer positions are compared, so that what is extreme among them varies more, not less."""
    monkeypatch.setattr(gate, "GATE_STEPS", 48)
    monkeypatch.setattr(gate, "EXACT_STEPS", 24)


def checks(decoder: Decoder, batch: int = 2, context: int = 40, seed: int = 2) -> dict[str, bool]:
    """Outcome of the whole gate, by name, on distinct random prompts."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(256, (batch, context), generator=generator).tolist()
    session = Session(decoder, batch, context + 24)
    session.prefill(prompts)
    return {name: passed for name, passed, _ in gate.verify(session, prompts)}


def layers(decoder: Decoder) -> Sequence[Any]:
    return list(decoder.layers)


def declared(patch: Patch, decoder: Decoder) -> None:
    """What the decoder says its weights are stays as it is now, whatever it multiplies."""
    honest = {name: weight.clone() for name, weight in decoder.named_weights().items()}
    patch.setattr(decoder, "named_weights", lambda: honest)


def zeroed_kv_head(patch: Patch, decoder: Decoder) -> None:
    """Keys and values of one head of the last layer are 0."""
    declared(patch, decoder)
    config, qkv = decoder.config, layers(decoder)[-1].qkv
    first = config.n_heads * config.head_dim
    for start in (first, first + config.n_kv_heads * config.head_dim):
        qkv.data[start : start + config.head_dim] = 0.0


def swapped_gate_and_up(patch: Patch, decoder: Decoder) -> None:
    declared(patch, decoder)
    for layer in layers(decoder):
        layer.gate_up.data.copy_(layer.gate_up.data.roll(decoder.config.d_ffn, 0))


def unscaled_attention(patch: Patch, decoder: Decoder) -> None:
    """Without 1/√head_dim: as if every query were that much longer."""
    declared(patch, decoder)
    queries = decoder.config.n_heads * decoder.config.head_dim
    for layer in layers(decoder):
        layer.qkv.data[:queries] *= math.sqrt(decoder.config.head_dim)


def wrong_rope_base(patch: Patch, decoder: Decoder) -> None:
    other = ModelConfig.from_mapping(TINY | {"rope_theta": 20000.0})
    cos, sin = rope_table(other)
    patch.setattr(decoder, "cos", cos.to(decoder.cos.dtype))
    patch.setattr(decoder, "sin", sin.to(decoder.sin.dtype))


def position_off_by_one(patch: Patch, _: Decoder) -> None:
    """Steps begin one slot too late, so that a slot nobody wrote lies between."""
    prefill = Session.prefill

    def late(self: Session, prompts: Any) -> int:
        read = prefill(self, prompts)
        self.positions.add_(1)
        return read

    patch.setattr(Session, "prefill", late)


def future_is_seen(patch: Patch, _: Decoder) -> None:
    """Without a mask a prompt's tokens would see later ones: here its last is seen by all."""
    prefill = Decoder.prefill

    def open_prefill(self: Decoder, tokens: Any, *rest: Any) -> Any:
        shown = self.embedding.data.clone()
        last = tokens[:, -1].unique()
        self.embedding.data += 0.05 * shown[last].mean(0)
        out = prefill(self, tokens, *rest)
        self.embedding.data.copy_(shown)
        return out

    patch.setattr(Decoder, "prefill", open_prefill)


def stale_refill(patch: Patch, _: Decoder) -> None:
    """A refilled slot keeps the cache of the request before it."""
    refill = Session.refill

    def stale(self: Session, row: int, prompt: Any) -> None:
        kept = [slots[:, row].nan_to_num().clone() for slots in self.cache.slots]
        refill(self, row, prompt)
        for slots, own in zip(self.cache.slots, kept, strict=True):
            slots[:, row] = own

    patch.setattr(Session, "refill", stale)


def refill_of_another_row(patch: Patch, _: Decoder) -> None:
    """A refill writes its neighbour's slots as well."""
    refill = Session.refill

    def spilling(self: Session, row: int, prompt: Any) -> None:
        refill(self, row, prompt)
        for slots in self.cache.slots:
            slots[:, row - 1] = slots[:, row]

    patch.setattr(Session, "refill", spilling)


def cached_repeat(patch: Patch, _: Decoder) -> None:
    """The answer to a prompt seen before is looked up."""
    prefill, known = Session.prefill, {}

    def looked_up(self: Session, prompts: Any) -> int:
        key = (id(self), tuple(map(tuple, prompts)))
        if key not in known:
            read = prefill(self, prompts)
            known[key] = (read, self.logits.clone())
        else:
            self.rewind()
            self.logits.copy_(known[key][1])
        return known[key][0]

    patch.setattr(Session, "prefill", looked_up)


def output_never_written(patch: Patch, _: Decoder) -> None:
    """Logits of a row in the middle of the batch stay what they were."""
    step = Session.step

    def partial(self: Session) -> None:
        before = self.logits[len(self.logits) // 2].clone()
        step(self)
        self.logits[len(self.logits) // 2] = before

    patch.setattr(Session, "step", partial)


def rows_mixed_up(patch: Patch, _: Decoder) -> None:
    """Each row gets the token of the next."""
    step = Session.step

    def shifted(self: Session) -> None:
        self.tokens.copy_(self.tokens.roll(1))
        step(self)

    patch.setattr(Session, "step", shifted)


MUTATIONS = {
    zeroed_kv_head: "ragged batch of 3: logits",
    swapped_gate_and_up: "ragged batch of 3: logits",
    unscaled_attention: "ragged batch of 3: logits",
    wrong_rope_base: "ragged batch of 3: logits",
    position_off_by_one: "ragged batch of 3: logits",
    future_is_seen: "ragged batch of 3: logits",
    stale_refill: "refilled row: logits",
    refill_of_another_row: "refilled row: logits",
    cached_repeat: "a repeated prompt is computed anew",
    output_never_written: "ragged batch of 3: finite",
    rows_mixed_up: "ragged batch of 3: logits",
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_a_broken_decoder_fails_where_it_is_broken(
    build: Build, monkeypatch: Patch, mutate: Any, dtype: torch.dtype
) -> None:
    decoder = build(dtype)
    mutate(monkeypatch, decoder)
    assert checks(decoder)[MUTATIONS[mutate]] is False


@pytest.mark.parametrize("seed", SEEDS)
def test_no_honest_bf16_decoder_fails(seed: int) -> None:
    config = ModelConfig.from_mapping(TINY)
    decoder = Decoder(config, torch.device("cpu"), torch.bfloat16)
    weights.initialise(decoder.named_weights(), config.n_layers, seed=100 + seed)
    found = checks(decoder, seed=seed)
    assert [name for name, passed in found.items() if not passed] == []


def swapped_experts(patch: Patch, decoder: Decoder) -> None:
    """In one layer two experts of 16 stand in each other's place."""
    declared(patch, decoder)
    down = layers(decoder)[1].experts.down
    down[[0, 1]] = down[[1, 0]]


MIXTURE = {"n_experts": 16, "experts_per_token": 2, "d_ffn": 48}
IN_MIXTURES = {
    swapped_experts: "ragged batch of 3: divergence",
    zeroed_kv_head: "ragged batch of 3: divergence",
    stale_refill: "refilled row: divergence",
    refill_of_another_row: "refilled row: divergence",
}


@pytest.mark.parametrize("mutate", IN_MIXTURES, ids=lambda mutate: mutate.__name__)
def test_a_broken_mixture_fails_where_it_is_broken(
    build: Build, monkeypatch: Patch, mutate: Any
) -> None:
    decoder = build(torch.bfloat16, **MIXTURE)
    mutate(monkeypatch, decoder)
    assert checks(decoder)[IN_MIXTURES[mutate]] is False


@pytest.mark.parametrize("seed", [13, 20, 28])
def test_a_mixture_may_leap_where_rounding_chooses_an_expert(seed: int) -> None:
    """The reference rounded in one way makes none of these leaps, and would refuse them."""
    config = ModelConfig.from_mapping(TINY | MIXTURE)
    decoder = Decoder(config, torch.device("cpu"), torch.bfloat16)
    weights.initialise(decoder.named_weights(), config.n_layers, seed=100 + seed)
    found = checks(decoder, seed=seed)
    assert [name for name, passed in found.items() if not passed] == []


def test_bf16_is_forced_by_its_prompt_and_fp32_is_not(build: Build, monkeypatch: Patch) -> None:
    seen: list[Any] = []
    tracing = gate.trace
    monkeypatch.setattr(gate, "trace", lambda *given: (seen.append(given[3:]), tracing(*given))[1])
    checks(build(torch.bfloat16))
    prompts = torch.randint(256, (2, 40), generator=torch.Generator().manual_seed(2)).tolist()
    assert seen[0] == ([prompts[0][5:], prompts[1][17:], []],)
    seen.clear()
    checks(build())
    assert seen[0] == (None,)


def test_forced_tokens_are_fed_and_the_choices_kept(build: Build) -> None:
    decoder, prompt = build(), list(range(10))
    session = Session(decoder, 1, 20)
    session.prefill([prompt])
    row = gate.trace(session, [prompt], 4, [[7, 9]])[0]
    assert row.tokens[:2] == (7, 9)
    assert row.tokens[2:] == row.picked[2:]
    plain = Session(decoder, 1, 20)
    plain.prefill([[*prompt, 7, 9]])
    torch.testing.assert_close(row.logits[2], plain.logits[0], rtol=1e-4, atol=1e-4)

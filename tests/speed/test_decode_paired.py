"""A decode step beside what else this machine can do: Hugging Face's ``generate`` with the same
weights, and a plain read of memory. Both take turns with us; what is printed are medians.
"""

from __future__ import annotations

import statistics
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import bench.profiles
from bench.kernels.decoder import weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.opened import wait_passively

ROUNDS = 5
CONTEXT = 128
STEPS = 64
LARGE_STEPS = 2
READ_BYTES = 1 << 30


def decoder_of(name: str, dtype: torch.dtype, source: str | None) -> Decoder:
    file = Path(bench.profiles.__file__).parent / "models" / f"{name}.toml"
    config = tomllib.loads(file.read_text(encoding="utf-8"))["config"]
    decoder = Decoder(ModelConfig.from_mapping(config), torch.device("cpu"), dtype)
    if source is None:
        weights.initialise(decoder.named_weights(), decoder.config.n_layers, 0, "uniform1e-3")
    else:
        weights.load(decoder.named_weights(), weights.resolve(source))
    return decoder


def ours(decoder: Decoder, batch: int, steps: int) -> tuple[Session, Callable[[], float]]:
    """A fused session, and seconds of one of its steps as a mean over ``steps``."""
    session = Session(decoder, batch, CONTEXT + steps, route="fused")
    assert session.facts()["fallbacks"] == []
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(decoder.config.vocab_size, (batch, CONTEXT), generator=generator)
    session.prefill(tokens.tolist())

    def timed() -> float:
        session.rewind()
        began_s = time.perf_counter()
        for _ in range(steps):
            session.step()
        return (time.perf_counter() - began_s) / steps

    return session, timed


def theirs(decoder: Decoder, batch: int) -> Callable[[int], float]:
    """Seconds of one step of ``generate`` over a static cache, on a number of threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside transformers' own imports
        from transformers import LlamaConfig, LlamaForCausalLM
    config = decoder.config
    shape = LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.d_model,
        intermediate_size=config.d_ffn,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        num_key_value_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_context,
        rms_norm_eps=config.norm_eps,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(shape).eval()
    model.load_state_dict(dict(decoder.named_weights()), strict=False)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (batch, CONTEXT), generator=generator)

    @torch.inference_mode()
    def generated(count: int) -> float:
        began_s = time.perf_counter()
        model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            cache_implementation="static",
            disable_compile=True,
        )
        return time.perf_counter() - began_s

    def timed(threads: int) -> float:
        torch.set_num_threads(threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (generated(STEPS + 1) - generated(1)) / STEPS

    return timed


@pytest.mark.parametrize("batch", [1, 8])
def test_micro_beside_hugging_face(batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    wait_passively()
    decoder = decoder_of("micro", torch.float32, "shipped:micro")
    most = torch.get_num_threads()
    session, step_s = ours(decoder, batch, STEPS)
    generate_s = theirs(decoder, batch)
    counts = sorted({1, most})
    best = min(counts, key=lambda count: min(generate_s(count) for _ in range(2)))
    pairs = [(generate_s(best), step_s()) for _ in range(ROUNDS)]
    torch.set_num_threads(most)
    other, own = (1e3 * statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(other / own for other, own in pairs)
    with capsys.disabled():
        print(
            f"\nmicro fp32, batch {batch}: {own:.2f} ms a step on {session.facts()['threads']}"
            f" threads; generate {other:.2f} ms on {best}; {ratio:.1f} times as fast"
        )
    assert ratio > 1


def test_1b_beside_a_plain_read(capsys: pytest.CaptureFixture[str]) -> None:
    wait_passively()
    decoder = decoder_of("1b", torch.bfloat16, None)
    session, step_s = ours(decoder, 1, LARGE_STEPS)
    matrices = [each for each in decoder.named_weights().values() if each.dim() == 2]
    size = sum(each.numel() * each.itemsize for each in matrices)
    words = torch.ones(READ_BYTES // 4)

    def summed_s() -> float:
        began_s = time.perf_counter()
        words.sum()
        return time.perf_counter() - began_s

    pairs = [(READ_BYTES / summed_s(), size / step_s()) for _ in range(ROUNDS)]
    read, own = (statistics.median(each) / 1e9 for each in zip(*pairs, strict=True))
    share = statistics.median(own / read for read, own in pairs)
    with capsys.disabled():
        print(
            f"\n1b bf16, batch 1: weights at {own:.1f} GB/s on {session.facts()['threads']}"
            f" threads; a sum reads {read:.1f} GB/s; {share:.0%}"
        )
    assert 0 < share < 1.5

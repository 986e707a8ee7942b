"""Rooflines against golden figures: parameters, KV, B*, capacity, tok/s, hash ceiling. < 1 s."""

from collections.abc import Callable

import pytest

from bench.predict.limits import hash_limit
from bench.records.market import GpuProfile, ModelConfig
from bench.roofline import (
    PLAIN_COUNTS,
    balance_batch,
    decode_work,
    hash_ceiling,
    hash_counts,
    kv_bytes_per_token,
    kv_capacity,
    matmul_parameters,
    prefill_work,
    weight_bytes,
)

LLAMA_70B = {
    "n_layers": 80,
    "d_model": 8192,
    "n_heads": 64,
    "n_kv_heads": 8,
    "head_dim": 128,
    "d_ffn": 28672,
    "vocab_size": 128256,
    "tied_head": False,
}
H200_BANDWIDTH, H200_BF16 = 4.8e12, 989e12


def test_parameters_and_kv_of_8b_and_70b(model: ModelConfig) -> None:
    assert matmul_parameters(model.config) == pytest.approx(7.5047e9, rel=1e-5)
    assert matmul_parameters(LLAMA_70B) == pytest.approx(69.5017e9, rel=1e-5)
    assert kv_bytes_per_token(model.config, 2) == 131_072
    assert kv_bytes_per_token(LLAMA_70B, 2) == 327_680


@pytest.mark.parametrize(
    ("name", "flops", "bandwidth", "batch"),
    [
        ("A100", 312e12, 2039e9, 153),
        ("H100", 989e12, 3350e9, 295),
        ("H200", 989e12, 4800e9, 206),
        ("RTX 4090", 165e12, 1008e9, 164),
        ("RTX 5090", 210e12, 1792e9, 117),
        ("L40S", 362e12, 864e9, 419),
    ],
)
def test_the_batch_where_arithmetic_meets_bandwidth(
    name: str, flops: float, bandwidth: float, batch: int
) -> None:
    assert round(balance_batch(flops, bandwidth)) == batch, name


@pytest.mark.parametrize(
    ("memory_gb", "thousands"), [(24, 46), (32, 102), (80, 439), (141, 867)], ids=str
)
def test_kv_capacity_of_8b(model: ModelConfig, memory_gb: float, thousands: int) -> None:
    assert round(kv_capacity(model.config, memory_gb * 1e9) / 1e3) == thousands


def test_a_model_that_does_not_fit_has_no_capacity(model: ModelConfig) -> None:
    assert kv_capacity(model.config, 16e9) == 0


@pytest.mark.parametrize(
    ("batch", "context", "tokens_per_s"), [(1, 512, 318), (64, 1024, 13_020), (256, 1024, 23_180)]
)
def test_decode_roofline_of_8b_on_an_h200(
    model: ModelConfig, batch: int, context: int, tokens_per_s: float
) -> None:
    step = decode_work(model.config, batch, context).seconds(H200_BANDWIDTH, H200_BF16)
    assert batch / step == pytest.approx(tokens_per_s, rel=0.003)


def test_classes_add_and_do_not_hide_each_other(model: ModelConfig) -> None:
    """Past B* the weights are bound by arithmetic while the cache is still bound by bandwidth."""
    work = decode_work(model.config, 256, 1024)
    assert work.weights_flops / H200_BF16 > work.weights_bytes / H200_BANDWIDTH
    assert work.attention_bytes / H200_BANDWIDTH > work.attention_flops / H200_BF16
    together = work.weights_flops / H200_BF16 + work.attention_bytes / H200_BANDWIDTH
    assert work.seconds(H200_BANDWIDTH, H200_BF16) == together


def test_prefill_flops_by_hand() -> None:
    tiny = {
        "n_layers": 2,
        "d_model": 4,
        "n_heads": 2,
        "n_kv_heads": 1,
        "head_dim": 2,
        "d_ffn": 8,
        "vocab_size": 10,
    }
    layer = 4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 8
    work = prefill_work(tiny, 3, cached=5, logits=1)
    assert work.weights_flops == 2 * 3 * 2 * layer + 2 * 10 * 4
    assert work.attention_flops == 4 * 2 * 4 * (3 * 5 + 3 * 4 / 2)
    assert work.attention_bytes == 8 * 2 * 2 * 1 * 2 * 2


def test_weight_bytes() -> None:
    sizes = [weight_bytes(name) for name in ("fp32", "bf16", "fp8", "int8")]
    assert sizes == [4, 2, 1, 1]
    assert weight_bytes("int4") == 0.53125
    assert weight_bytes("int4", group=32) == 0.625
    assert weight_bytes("nvfp4") == 0.5625


def test_hash_counts_stop_where_no_audit_was_made() -> None:
    assert hash_counts("9.0") is PLAIN_COUNTS
    assert hash_counts("10.3") is PLAIN_COUNTS
    blackwell = hash_counts("12.0")
    assert blackwell is not None
    assert blackwell.alu == 2460
    assert [hash_counts(name) for name in ("6.1", "11.0", "gfx942", "")] == [None] * 4


def test_lanes_beyond_64_lift_the_alu_and_leave_the_issue_limit() -> None:
    plain = hash_ceiling(PLAIN_COUNTS, 100, 1e9)
    assert plain == pytest.approx(100 * 64e9 / 2262)
    doubled = hash_ceiling(PLAIN_COUNTS, 100, 1e9, lanes=128)
    assert doubled == pytest.approx(100 * 64e9 / 1226.5)


def test_only_a_refusal_counts_on_nominal_lanes(card: Callable[..., GpuProfile]) -> None:
    gpu = card("rtx5090")
    counted, nominal = hash_limit(gpu), hash_limit(gpu, nominal_lanes=True)
    assert counted is not None
    assert nominal is not None
    assert nominal > 1.9 * counted

"""Rooflines against golden figures: parameters, KV, B*, capacity, tok/s, hash ceiling. < 1 s."""

from collections.abc import Callable

import pytest

from bench.predict.limits import hash_limit
from bench.records.market import GpuProfile, ModelConfig
from bench.roofline import (
    PLAIN_COUNTS,
    balance_batch,
    decode_work,
    floor_joules,
    hash_ceiling,
    hash_counts,
    kv_bytes_per_token,
    kv_capacity,
    matmul_parameters,
    prefill_work,
    read_parameters,
    stored_parameters,
    tokens_per_s_per_mw,
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
GPT_OSS_LIKE = {
    "n_layers": 24,
    "d_model": 2880,
    "n_heads": 64,
    "n_kv_heads": 8,
    "head_dim": 64,
    "d_ffn": 2880,
    "vocab_size": 201_088,
    "tied_head": False,
    "n_experts": 32,
    "experts_per_token": 4,
    "sliding_window": 128,
    "window_every": 2,
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


def test_attention_may_be_slower_and_launches_cost(model: ModelConfig) -> None:
    """t_step is a sum over classes: each with its own peak, and the kernels' starts beside them."""
    work = decode_work(model.config, 64, 1024)
    plain = work.seconds(H200_BANDWIDTH, H200_BF16)
    assert work.seconds(H200_BANDWIDTH, H200_BF16, launches_s=1e-3) == pytest.approx(plain + 1e-3)
    slow = work.seconds(H200_BANDWIDTH, H200_BF16, attention_flops_per_s=1e12)
    assert slow == work.weights_bytes / H200_BANDWIDTH + work.attention_flops / 1e12
    assert slow > plain


def test_decode_bytes_and_flops_of_8b_by_hand(model: ModelConfig) -> None:
    """B=2, c=1000: weights once, KV of c+1 and one written a row, embedding bf16, logits fp32."""
    work = decode_work(model.config, 2, 1000)
    assert work.weights_bytes == 2 * 7_504_658_432 + 2 * 4096 * 2 + 2 * 128_256 * 4
    assert work.weights_flops == 2 * 2 * 7_504_658_432
    assert work.attention_bytes == 2 * 1001 * 131_072 + 2 * 131_072
    assert work.attention_flops == 2 * 4 * 32 * 32 * 128 * 1001
    assert work.bytes == work.weights_bytes + work.attention_bytes
    assert work.flops == work.weights_flops + work.attention_flops


@pytest.mark.parametrize(("precision", "share"), [("fp8", 0.5), ("int4", 0.265625)])
def test_quantised_weights_are_read_at_their_size(
    model: ModelConfig, precision: str, share: float
) -> None:
    rows = 4096 * 2 + 128_256 * 4
    small = decode_work(model.config, 1, 0, bytes_per_weight=weight_bytes(precision)).weights_bytes
    assert (small - rows) / (decode_work(model.config, 1, 0).weights_bytes - rows) == share


def test_ragged_rows_add_up(model: ModelConfig) -> None:
    contexts = (17, 400, 3000)
    ragged = decode_work(model.config, 3, contexts)
    alone = [decode_work(model.config, 1, each) for each in contexts]
    assert ragged.attention_bytes == sum(each.attention_bytes for each in alone)
    assert ragged.attention_flops == sum(each.attention_flops for each in alone)
    even = decode_work(model.config, 3, sum(contexts) / 3)
    assert even.attention_bytes == pytest.approx(ragged.attention_bytes, rel=1e-12)
    with pytest.raises(ValueError, match="2 contexts for a batch of 3"):
        decode_work(model.config, 3, (1, 2))


def test_a_mixture_multiplies_k_experts_and_reads_what_its_batch_touches() -> None:
    """gpt-oss-20b-like: 20.9e9 stored, 3.6e9 multiplied a token, E·(1−(1−k/E)^B) experts read."""
    attention = 2 * 2880 * 64 * (64 + 8) + 2880 * 32
    expert = 3 * 2880 * 2880
    assert matmul_parameters(GPT_OSS_LIKE) == 24 * (attention + 4 * expert) + 201_088 * 2880
    assert stored_parameters(GPT_OSS_LIKE) == 24 * (attention + 32 * expert) + 2 * 201_088 * 2880
    assert stored_parameters(GPT_OSS_LIKE) == pytest.approx(20.9e9, rel=0.005)
    assert matmul_parameters(GPT_OSS_LIKE) == pytest.approx(3.6e9, rel=0.01)
    assert read_parameters(GPT_OSS_LIKE, 1) == pytest.approx(matmul_parameters(GPT_OSS_LIKE))
    per_expert = 24 * expert
    two = read_parameters(GPT_OSS_LIKE, 2) - read_parameters(GPT_OSS_LIKE, 1)
    assert two / per_expert == pytest.approx(32 * (1 - (28 / 32) ** 2) - 4)
    most = stored_parameters(GPT_OSS_LIKE) - 201_088 * 2880
    assert read_parameters(GPT_OSS_LIKE, 1000) == pytest.approx(most)
    assert read_parameters({**LLAMA_70B}, 64) == matmul_parameters(LLAMA_70B)


def test_windowed_layers_read_the_window_alone() -> None:
    """Every second of 24 layers sees 128 tokens, the others all of them."""
    per_layer = 2 * 8 * 64 * 2
    work = decode_work(GPT_OSS_LIKE, 1, 999)
    assert work.attention_bytes == (12 * 1000 + 12 * 128 + 24) * per_layer
    assert work.attention_flops == 4 * 64 * 64 * (12 * 1000 + 12 * 128)
    short = decode_work(GPT_OSS_LIKE, 1, 99)
    assert short.attention_bytes == (24 * 100 + 24) * per_layer
    fill = prefill_work(GPT_OSS_LIKE, 200, cached=100)
    full = 200 * 100 + 200 * 201 / 2
    windowed = sum(min(100 + i, 128) for i in range(1, 201))
    assert fill.attention_flops == 4 * 64 * 64 * (12 * full + 12 * windowed)
    assert fill.attention_bytes == (12 * 300 + 12 * (100 + 200)) * per_layer


@pytest.mark.parametrize(
    ("name", "bandwidth", "watts", "joules"),
    [
        ("H100", 3350e9, 700, 3.4),
        ("H100 at half its power", 3350e9, 350, 1.7),
        ("H200", 4800e9, 700, 2.3),
        ("H200 at half its power", 4800e9, 350, 1.2),
        ("RTX 4090", 1008e9, 450, 7.2),
        ("RTX 4090 at 250 W", 1008e9, 250, 4.0),
    ],
)
def test_batch_1_floor_of_8b(
    model: ModelConfig, name: str, bandwidth: float, watts: float, joules: float
) -> None:
    """P·bytes/BW with all 8.03e9 stored parameters in bf16."""
    floor = floor_joules(watts, 2 * stored_parameters(model.config), bandwidth)
    assert round(floor, 1) == joules, name
    assert floor_joules(watts, 16e9, bandwidth, batch=4) == watts * 16e9 / bandwidth / 4


def test_megawatts_of_a_token() -> None:
    assert tokens_per_s_per_mw(0.1) == pytest.approx(1e7)


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

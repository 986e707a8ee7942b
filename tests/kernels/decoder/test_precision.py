"""Quantised weights and decoders: what they stand for, what they cost, who may run them. ~10 s."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.kernels.decoder import gate, precision, rung, source, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.loops import Session
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.precision import Fp8Weight, Int4Weight

CPU = torch.device("cpu")
RUNGS = precision.QUANTISED


def noise(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator).bfloat16()


def cuda_words(codes: torch.Tensor, tiles: int) -> torch.Tensor:
    """Codes as CUDA packs them, weight by weight from the comment in PyTorch's int4mm.cu: of each
    lane's four bytes the high nibbles fill the word's low half, the low ones its high half.
    """
    rows, columns = codes.shape
    words = torch.zeros(rows // 8, columns // (16 * tiles), 32, tiles // 2, dtype=torch.int64)
    for row in range(rows):
        for column in range(columns):
            outer, inner = divmod(column, 16 * tiles)
            pair, place = divmod(inner, 32)
            byte, odd = divmod(place, 2)
            lane = 4 * (row % 8) + byte % 4
            bit = 4 * (byte // 4) + 16 * odd
            words[row // 8, outer, lane, pair] |= int(codes[row, column]) << bit
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


@pytest.mark.parametrize("tiles", [2, 4, 8])
def test_cudas_packing_is_read_back(tiles: int) -> None:
    generator = torch.Generator().manual_seed(tiles)
    codes = torch.randint(16, (24, 64 * tiles), generator=generator)
    assert torch.equal(precision.unpacked(cuda_words(codes, tiles)), codes.int())


def test_a_weight_packed_for_cuda_stands_for_its_codes() -> None:
    generator = torch.Generator().manual_seed(5)
    codes = torch.randint(16, (16, 256), generator=generator)
    scales = torch.rand(2, 16, 2, generator=generator).bfloat16()
    weight = Int4Weight(cuda_words(codes, 8), scales)
    by_hand = torch.empty(16, 256)
    for row in range(16):
        for column in range(256):
            scale, centre = scales[column // 128, row].float()
            by_hand[row, column] = (codes[row, column] - 8) * scale + centre
    assert torch.equal(precision.dequantised(weight, 8, 8), by_hand[8:])


@pytest.mark.parametrize("shape", [(64, 64), (96, 192), (320, 256)], ids=str)
def test_int4_is_within_half_a_step_of_what_was_given(shape: tuple[int, int]) -> None:
    given = noise(*shape)
    weight, error = precision.quantise(given, "int4")
    assert isinstance(weight, Int4Weight)
    group = precision.group_of(shape[1])
    parts = given.float().view(shape[0], -1, group)
    step = (parts.amax(-1) - parts.amin(-1)) / 15
    off = (precision.dequantised(weight, 0, shape[0]).view_as(parts) - parts).abs()
    assert (off.amax(-1) <= 0.5 * step + 0.02 * parts.abs().amax(-1)).all()
    assert off.max() > 0
    assert error < rung.CLOSE


def test_fp8_is_within_its_own_rounding_of_what_was_given() -> None:
    given = noise(48, 64)
    weight, error = precision.quantise(given, "fp8")
    assert isinstance(weight, Fp8Weight)
    assert weight.values.dtype == torch.float8_e4m3fn
    assert weight.scales.shape == (1, 48)
    off = (precision.dequantised(weight, 0, 48) - given.float()).abs()
    least = given.float().abs().amax(-1, keepdim=True) / 448 * 2**-9  # the smallest e4m3 step
    assert (off <= given.float().abs() / 16 + least).all(), "three bits of mantissa"
    assert error < rung.CLOSE


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize("given", [torch.zeros(32, 64), torch.full((32, 64), 0.75)], ids=["0", "c"])
def test_constant_rows_survive(kind: str, given: torch.Tensor) -> None:
    weight, _ = precision.quantise(given.bfloat16(), kind)
    assert torch.allclose(precision.dequantised(weight, 0, 32), given, rtol=1e-2)


@pytest.mark.parametrize("kind", RUNGS)
def test_a_product_keeps_shape_and_type_and_its_rows_apart(kind: str) -> None:
    weight, _ = precision.quantise(noise(64, 128), kind)
    x = noise(6, 128, seed=1).view(2, 3, 128)
    whole = precision.product(x, weight)
    assert (whole.shape, whole.dtype) == ((2, 3, 64), torch.bfloat16)
    alone = precision.product(x[1, 2], weight)
    torch.testing.assert_close(whole[1, 2], alone, rtol=1e-2, atol=1e-2)
    assert torch.equal(
        precision.dequantised(weight, 16, 32), precision.dequantised(weight, 0, 64)[16:48]
    )


@pytest.mark.parametrize("kind", RUNGS)
def test_products_compile_whole(kind: str) -> None:
    weight, _ = precision.quantise(noise(64, 128), kind)
    x = noise(2, 128, seed=1)
    compiled = torch.compile(precision.product, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, weight), precision.product(x, weight))


def test_a_wrong_packing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = precision.pack
    monkeypatch.setattr(precision, "pack", lambda codes: pack(codes.roll(1, dims=1)))
    assert precision.quantise(noise(64, 64), "int4")[1] > 10 * rung.CLOSE


# Decoders


@pytest.fixture
def quantised(build: Callable[..., Decoder]) -> Callable[[str], tuple[Decoder, Decoder]]:
    """A quantised decoder, and the bf16 one whose weights it was made of."""

    def make(kind: str) -> tuple[Decoder, Decoder]:
        plain = build(torch.bfloat16, qk_norm=True)
        return rung.quantised(plain.config, CPU, kind, plain.named_weights()), plain

    return make


@pytest.mark.parametrize("kind", RUNGS)
def test_a_quantised_decoder_passes_its_own_gate(
    quantised: Callable[[str], tuple[Decoder, Decoder]], kind: str, prompts: list[list[int]]
) -> None:
    decoder, plain = quantised(kind)
    assert set(decoder.named_weights()) == set(plain.named_weights())
    session = Session(decoder, 3, 40 + 32)
    session.prefill(prompts)
    checks = [*decoder.checks, *gate.verify(session, prompts)]
    assert all(passed for _, passed, _ in checks), checks
    assert "products = plain ones" in checks[0][0]


@pytest.mark.parametrize("kind", RUNGS)
def test_its_gate_does_not_take_another_rungs_weights(
    quantised: Callable[[str], tuple[Decoder, Decoder]], kind: str, prompts: list[list[int]]
) -> None:
    decoder, plain = quantised(kind)
    decoder.meaning = plain.named_weights()
    traces = gate.decode(decoder, prompts, 64)
    found = {name: passed for name, passed, _ in gate.judge(decoder, traces, "x")}
    assert kind == "fp8" or not found["x: divergence"]
    decoder.meaning = rung.quantised(
        plain.config, CPU, "int4" if kind == "fp8" else "fp8", plain.named_weights()
    ).named_weights()
    assert not all(passed for _, passed, _ in gate.judge(decoder, traces, "x"))


def test_the_ladder_says_how_far_each_rung_is(
    quantised: Callable[[str], tuple[Decoder, Decoder]], prompts: list[list[int]]
) -> None:
    tokens = [prompts[2]] * 2
    figures = {}
    for kind in RUNGS:
        decoder, plain = quantised(kind)
        figures[kind] = rung.against_bf16(decoder, plain.named_weights(), tokens)
        assert figures[kind]["positions"] == 80
    assert 0 < figures["fp8"]["kl_to_bf16"] < figures["int4"]["kl_to_bf16"] < 0.1
    assert 0.5 < figures["int4"]["top1_agreement"] <= figures["fp8"]["top1_agreement"] <= 1
    same = rung.against_bf16(plain, plain.named_weights(), tokens)
    assert (same["kl_to_bf16"], same["top1_agreement"]) == (0, 1)


def test_weights_are_drawn_the_same_one_by_one(tiny: dict[str, Any]) -> None:
    config = ModelConfig.from_mapping(tiny)
    decoder = Decoder(config, CPU, torch.bfloat16)
    for kind in ("fan-in", "uniform01"):
        weights.initialise(decoder.named_weights(), config.n_layers, 7, kind)
        given = source.noise(config, CPU, 7, kind)
        assert set(given) == set(decoder.named_weights())
        assert all(torch.equal(given[n], view) for n, view in decoder.named_weights().items())


# Bytes, and who may run what


def test_bytes_per_weight_by_hand() -> None:
    """1 block of 4 · 128² + 3 · 128 · 256 weights, a head of 512 · 128 in 16 bits."""
    config = ModelConfig.from_mapping(
        {
            "name": "x", "n_layers": 1, "d_model": 128, "n_heads": 4, "n_kv_heads": 4,
            "head_dim": 32, "d_ffn": 256, "vocab_size": 512, "max_context": 64,
        }
    )  # fmt: skip
    block, head = 4 * 128 * 128 + 3 * 128 * 256, 512 * 128
    rows = 4 * 128 + 2 * 256 + 128
    fp8 = (block + 4 * rows + 2 * head) / (block + head)
    assert precision.bytes_per_weight(config, "fp8") == pytest.approx(fp8)
    int4 = (block * (0.5 + 4 / 128) + 2 * head) / (block + head)
    assert precision.bytes_per_weight(config, "int4") == pytest.approx(int4)
    assert precision.bytes_per_weight(config, "bf16") == 2
    assert precision.bytes_per_weight(config, "fp32") == 4


@pytest.mark.parametrize("kind", ["fp32", "bf16", *RUNGS])
def test_stored_bytes_are_those_in_memory(
    quantised: Callable[[str], tuple[Decoder, Decoder]], build: Callable[..., Decoder], kind: str
) -> None:
    dtype = torch.float32 if kind == "fp32" else torch.bfloat16
    decoder = quantised(kind)[0] if kind in RUNGS else build(dtype, qk_norm=True)
    held = sum(p.nbytes for p in decoder.parameters())
    for layer in decoder.blocks():
        for matrix in (layer.qkv, layer.o, layer.gate_up, layer.down):
            if not isinstance(matrix, torch.Tensor):
                held += sum(part.nbytes for part in matrix)
    assert precision.stored_bytes(decoder.config, kind) == held


@pytest.mark.parametrize(
    ("kind", "capability", "says"),
    [
        ("fp8", (8, 0), "fp8 needs compute capability 8.9, A100 has 8.0"),
        ("int4", (7, 5), "int4 needs compute capability 8.0, A100 has 7.5"),
        ("fp8", (8, 9), None),
        ("int4", (8, 0), None),
        ("bf16", (7, 0), None),
    ],
)
def test_a_card_without_the_arithmetic_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    tiny: dict[str, Any],
    kind: str,
    capability: tuple[int, int],
    says: str | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A100")
    config = ModelConfig.from_mapping(tiny)
    if says is None:
        precision.require(kind, config, torch.device("cuda"))
        return
    with pytest.raises(ValueError, match=says):
        precision.require(kind, config, torch.device("cuda"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"d_ffn": 120}, r"gate_proj.weight of \[120, 64\]; use bf16"),
        ({"n_experts": 4, "experts_per_token": 2}, "mixture of experts is not built"),
    ],
)
def test_a_model_that_cannot_be_quantised_is_refused(
    tiny: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    config = ModelConfig.from_mapping(tiny | changes)
    with pytest.raises(ValueError, match=says):
        precision.require("int4", config, CPU)

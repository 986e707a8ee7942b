"""The headline figure of every card, machine and price that ships, written out once more.

A table to be read beside the makers' data sheets. Takes about a second.
"""

from __future__ import annotations

import pytest

from bench.catalogue import load_asic, load_gpu, load_market, names
from bench.economics.units import S_PER_HOUR

# name: SMs, boost MHz, memory GB, bandwidth GB/s, fp32, 16-bit tensor, fp8 TFLOP/s, TDP W
CARDS: dict[str, tuple[float, float, float, float, float, float, float | None, float]] = {
    "a10": (72, 1695, 24, 600, 31.2, 125, None, 150),
    "a100": (108, 1410, 80, 2039, 19.5, 312, None, 400),
    "a100-pcie": (108, 1410, 80, 1935, 19.5, 312, None, 300),
    "a100-pcie-40gb": (108, 1410, 40, 1555, 19.5, 312, None, 250),
    "a100-sxm-40gb": (108, 1410, 40, 1555, 19.5, 312, None, 400),
    "b200": (148, 1965, 192, 8000, 74.5, 2250, 4500, 1000),
    "b300": (148, 2032, 288, 8000, 77.0, 2250, 4500, 1100),
    "gh200": (132, 1980, 96, 4000, 66.9, 989, 1979, 1000),
    "h100": (132, 1980, 80, 3350, 66.9, 989, 1979, 700),
    "h100-nvl": (132, 1785, 94, 3938, 60.3, 835, 1671, 400),
    "h100-pcie": (114, 1755, 80, 2039, 51.2, 756, 1513, 350),
    "h200": (132, 1980, 141, 4800, 66.9, 989, 1979, 700),
    "h200-nvl": (132, 1785, 141, 4800, 60.3, 835, 1671, 600),
    "l4": (58, 2040, 24, 300, 30.3, 121, 242, 72),
    "l40s": (142, 2520, 48, 864, 91.6, 362, 733, 350),
    "mi300x": (304, 2100, 192, 5300, 163.4, 1307, 2615, 750),
    "mi325x": (304, 2100, 256, 6000, 163.4, 1307, 2615, 1000),
    "mi355x": (256, 2400, 288, 8000, 157.3, 2516, 5033, 1400),
    "quadro-rtx8000": (72, 1770, 48, 672, 16.3, 130.5, None, 260),
    "rtx-pro-6000": (188, 2617, 96, 1792, 126.0, 504, 1007, 600),
    "rtx2080ti": (68, 1545, 11, 616, 13.4, 53.8, None, 250),
    "rtx3090": (82, 1695, 24, 936, 35.6, 71, None, 350),
    "rtx4090": (128, 2520, 24, 1008, 82.6, 165, 330, 450),
    "rtx5090": (170, 2407, 32, 1792, 104.8, 210, 419, 575),
    "rtx6000-ada": (142, 2505, 48, 960, 91.1, 364, 728, 300),
    "t4": (40, 1590, 16, 320, 8.1, 65, None, 70),
    "v100": (80, 1530, 32, 898, 15.7, 125, None, 300),
    "v100-pcie": (80, 1380, 16, 897, 14.1, 112, None, 250),
}
CAPABILITIES = {
    "volta": {"7.0"},
    "turing": {"7.5"},
    "ampere-datacenter": {"8.0"},
    "ampere": {"8.6"},
    "ada": {"8.9"},
    "hopper": {"9.0"},
    "blackwell-datacenter": {"10.0", "10.3"},
    "blackwell": {"12.0"},
    "cdna3": {"gfx942"},
    "cdna4": {"gfx950"},
}
PRICES_USD = {
    "h100": 30000,
    "h200": 35000,
    "b200": 40000,
    "l40s": 9000,
    "rtx4090": 1599,
    "rtx5090": 1999,
    "rtx3090": 1499,
    "rtx6000-ada": 6800,
    "rtx-pro-6000": 8500,
    "a100": 15000,
    "l4": 2600,
    "a10": 3000,
    "t4": 2300,
    "v100": 10000,
    "mi300x": 15000,
}
ASICS = {
    "antminer-s19-xp": (140, 3010),
    "antminer-s21": (200, 3500),
    "antminer-s21-pro": (234, 3510),
    "antminer-s21-xp": (270, 3645),
    "antminer-s21-xp-hyd": (473, 5676),
    "antminer-s21-plus-hyd": (319, 4785),
    "antminer-s23": (318, 3498),
    "antminer-s23-hyd": (580, 5510),
    "antminer-s23-hyd-3u": (1160, 11020),
    "whatsminer-m60s": (186, 3441),
    "whatsminer-m66s": (298, 5513),
    "whatsminer-m66s-plus": (314, 5338),
    "whatsminer-m70": (214, 3103),
    "whatsminer-m70s": (245, 3308),
    "avalon-a1566": (185, 3420),
    "avalon-a16-xp": (300, 3840),
    "block-proto-rig": (819, 11998),
    "avalon-q": (90, 1674),
}
# The tier that is charged, USD/h.
RENTS = {
    "h100": 2.69,
    "h100-pcie": 1.99,
    "h100-nvl": 2.59,
    "h200": 4.44,
    "b200": 5.98,
    "b300": 6.94,
    "a100": 1.39,
    "a100-pcie": 1.19,
    "a100-sxm-40gb": 1.99,
    "l40s": 0.94,
    "rtx4090": 0.68,
    "rtx5090": 0.865,
    "rtx3090": 0.18,
    "rtx-pro-6000": 1.45,
    "rtx6000-ada": 0.74,
    "l4": 0.45,
    "t4": 0.19,
    "v100": 0.79,
    "gh200": 1.49,
    "mi300x": 3.5,
}
# USD/Mtok in and out.
TOKENS = {
    "Llama-3.1-8B": (0.05, 0.08),
    "Llama-3.3-70B": (0.23, 0.4),
    "Llama-3.1-70B": (0.4, 0.4),
    "Qwen3-14B": (0.12, 0.24),
    "Qwen3-32B": (0.08, 0.28),
    "Qwen3-30B-A3B": (0.1, 0.3),
    "Qwen3.8-27B": (0.4, 3.0),
    "gpt-oss-20b": (0.03, 0.14),
    "gpt-oss-120b": (0.15, 0.6),
    "DeepSeek-V3.2": (0.26, 0.38),
    "DeepSeek-V4.1-Flash": (0.14, 0.42),
    "DeepSeek-V4-Pro": (1.32, 3.96),
}
# Cards whose arithmetic or memory public tables are known to have wrong, and the wrong figure.
KNOWN_ERRORS = [
    ("l4", "sm", 60),
    ("l40s", "tdp_w", 300),
    ("v100", "tdp_w", 250),
    ("v100-pcie", "tdp_w", 300),
    ("mi300x", "bandwidth_bytes_per_s", 10.3e12),
    ("b200", "bandwidth_bytes_per_s", 4.1e12),
    ("b200", "memory_bytes", 90e9),
]


def test_the_tables_name_all_that_ships() -> None:
    assert sorted(CARDS) == names("gpus")
    assert len(CARDS) >= 24
    assert sorted(ASICS) == names("asics")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_has_its_headline_figures(name: str) -> None:
    gpu = load_gpu(name)
    tensor = gpu.bf16_flops or gpu.fp16_flops
    assert tensor is not None
    found = (
        gpu.sm.value,
        gpu.boost_hz.value / 1e6,
        gpu.memory_bytes.value / 1e9,
        gpu.bandwidth_bytes_per_s.value / 1e9,
        gpu.fp32_flops.value / 1e12,
        tensor.value / 1e12,
        None if gpu.fp8_flops is None else gpu.fp8_flops.value / 1e12,
        gpu.tdp_w.value,
    )
    assert found == pytest.approx(CARDS[name])
    assert gpu.compute_capability in CAPABILITIES[gpu.architecture]


@pytest.mark.parametrize("name", CARDS)
def test_bf16_is_there_from_ampere_on_and_fp16_before(name: str) -> None:
    gpu = load_gpu(name)
    old = gpu.architecture in {"volta", "turing"}
    assert (gpu.bf16_flops is None, gpu.fp16_flops is None) == (old, not old)
    new = gpu.architecture not in {"volta", "turing", "ampere", "ampere-datacenter"}
    assert (gpu.fp8_flops is not None) == new


@pytest.mark.parametrize(("name", "field", "wrong"), KNOWN_ERRORS)
def test_errors_of_public_tables_are_not_repeated(name: str, field: str, wrong: float) -> None:
    value = getattr(load_gpu(name), field)
    assert value.value != pytest.approx(wrong, rel=0.02)
    assert len(value.source) > 40, "what the tables have instead is said"


def test_consumer_cards_state_their_accumulation() -> None:
    for name in ("rtx3090", "rtx4090", "rtx5090"):
        tensor = load_gpu(name).bf16_flops
        assert tensor is not None
        assert "fp32 accumulation" in tensor.source


def test_cards_of_another_maker_are_reference_only() -> None:
    for name in ("mi300x", "mi325x", "mi355x"):
        gpu = load_gpu(name)
        assert gpu.title.endswith("(reference only)")
        assert gpu.match == ()
        assert gpu.simulation is None


@pytest.mark.parametrize(("name", "usd"), PRICES_USD.items())
def test_a_card_has_its_price(name: str, usd: float) -> None:
    price = load_gpu(name).price_usd
    assert price is not None
    assert price.value == usd


@pytest.mark.parametrize(("name", "figures"), ASICS.items())
def test_a_machine_has_its_nameplate(name: str, figures: tuple[float, float]) -> None:
    asic = load_asic(name)
    assert (asic.hashrate_hs.value / 1e12, asic.watts.value) == pytest.approx(figures)


def test_the_charged_rents_and_the_token_prices_are_those_read() -> None:
    market = load_market("default")
    charged: dict[str | None, float] = {}
    for rent in market.rents:
        charged.setdefault(rent.gpu, rent.usd_per_s.value * S_PER_HOUR)
    assert charged == pytest.approx(RENTS)
    tokens = {
        price.model_id: (price.in_usd_per_token.value * 1e6, price.out_usd_per_token.value * 1e6)
        for price in market.tokens
    }
    assert tokens.keys() == TOKENS.keys()
    for model_id, prices in tokens.items():
        assert prices == pytest.approx(TOKENS[str(model_id)])

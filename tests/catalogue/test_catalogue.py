"""Shipped profiles load whole and dated; what is wrong in a file is said in one clear line."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import (
    ProfileError,
    apply_sets,
    best_asic,
    find_gpu,
    load_asic,
    load_asics,
    load_gpu,
    load_market,
    load_model,
    median_asic,
    names,
    parse_asic,
)
from bench.economics.chain import first_day
from bench.economics.mining import asic_joules_per_hash, hashprice_usd_per_phs_day
from bench.records.market import Value
from bench.roofline import decode_bytes, fits, kv_bytes_per_token, matmul_parameters
from bench.simulate import card_of

TODAY = date(2026, 11, 22)
DEFAULT = Path(str(files("bench.profiles"))) / "markets" / "default.toml"
BTC = (
    "btc = { value = 60470, low = 45000, high = 88000, "
    'unit = "USD", as_of = "2026-06-26", flag = "D/A", source = "'
)


def values(thing: Any) -> list[Value]:
    """Every Value anywhere in a record."""
    if isinstance(thing, Value):
        return [thing]
    if is_dataclass(thing):
        return [v for field in fields(thing) for v in values(getattr(thing, field.name))]
    if isinstance(thing, dict):
        return [v for inner in thing.values() for v in values(inner)]
    if isinstance(thing, tuple):
        return [v for inner in thing for v in values(inner)]
    return []


# What ships


LOADERS: dict[str, Callable[[str], Any]] = {
    "markets": load_market,
    "gpus": load_gpu,
    "asics": load_asic,
}
SHIPPED = [(room, name) for room in LOADERS for name in names(room)]


@pytest.mark.parametrize(("room", "name"), SHIPPED)
def test_every_shipped_value_is_dated_and_sourced(room: str, name: str) -> None:
    record = LOADERS[room](name)
    assert record.name == name
    found = values(record)
    assert found
    for value in found:
        assumed = not {"A", "D"}.isdisjoint(value.flag.split("/"))
        assert first_day(value.as_of) <= TODAY or assumed
        assert len(value.source) > 3
        assert value.flag
        assert "U" not in value.flag or "unknown" in value.source or "undated" in value.source
    assert json.loads(json.dumps(asdict(record), allow_nan=False))["name"] == name


@pytest.mark.parametrize("name", names("models"))
def test_every_shipped_model_is_dated_and_sourced(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert first_day(model.as_of) <= TODAY
    assert len(model.source) > 3


def test_the_default_market_is_one_snapshot() -> None:
    market = load_market("default")
    hashprice = hashprice_usd_per_phs_day(market.hashprice_usd_per_hash.value)
    assert hashprice == pytest.approx(28.68, rel=1e-4)
    assert market.btc_usd.value == pytest.approx(60470)
    assert market.power_usd_per_j.value * 3.6e6 == pytest.approx(0.0929)
    dates = {v.as_of for v in (market.height, market.difficulty, market.btc_usd)}
    assert dates == {"2026-06-26"}


def test_models_and_cards_with_a_price_are_found_by_their_names() -> None:
    market = load_market("default")
    assert load_model("8b").model_id in {price.model_id for price in market.tokens}
    assert {rent.gpu for rent in market.rents} <= set(names("gpus"))


def test_the_first_tier_of_a_card_is_the_plain_one() -> None:
    first: dict[str | None, str] = {}
    for rent in load_market("default").rents:
        first.setdefault(rent.gpu, rent.tier)
    plain = {gpu for gpu, tier in first.items() if tier.startswith("on-demand")}
    assert set(first) - plain == {"l40s"}  # only spot offers of it were seen


def test_best_and_median_machine_on_sale() -> None:
    market = load_market("default")
    assert asic_joules_per_hash(best_asic(market)) == pytest.approx(9.5e-12)
    ranked = sorted(map(asic_joules_per_hash, load_asics(market)))
    assert asic_joules_per_hash(median_asic(market)) == ranked[len(ranked) // 2]


@pytest.mark.parametrize(
    ("nvml_name", "profile"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", None),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", None),
        ("", None),
    ],
)
def test_a_card_is_found_by_the_exact_name_nvml_gives(nvml_name: str, profile: str | None) -> None:
    found = find_gpu(nvml_name)
    assert (found.name if found else None) == profile


SIMULATED = [name for name in names("gpus") if load_gpu(name).simulation is not None]


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_cards_stay_below_their_ceilings(name: str) -> None:
    """2262 ALU instructions per hash at 64 lanes; weights and KV read once per decode step."""
    gpu = load_gpu(name)
    assert gpu.simulation is not None
    assert gpu.sensor is not None
    loads = gpu.simulation.loads
    hashing, decode = loads["sha256d"], loads["decode"]
    ceiling = gpu.sm.value * gpu.int32_lanes.value * gpu.boost_hz.value / 2262
    assert 0.9 < hashing.units_per_s.value / ceiling < 1
    batch, context = decode.config["batch"], decode.config["context"]
    model = load_model(decode.config["model"]).config
    step_bytes = 2 * matmul_parameters(model) + batch * (context + 2) * kv_bytes_per_token(model, 2)
    roofline = batch * gpu.bandwidth_bytes_per_s.value / step_bytes
    assert 0.6 < decode.units_per_s.value / roofline < 0.7
    assert fits(decode_bytes(model, batch, context + 2, 2), int(gpu.memory_bytes.value))
    assert (gpu.bf16_flops is None) == (decode.config["precision"] == "fp16")
    for load in loads.values():
        assert gpu.simulation.idle_w.value < load.watts.value < gpu.tdp_w.value


@pytest.mark.parametrize(
    ("name", "sensors"),
    [
        ("v100", [("power_w", 20, 10.5)]),
        ("a100", [("power_instant_w", 101, 25)]),
        ("h100-pcie", [("power_instant_w", 100, 25), ("power_average_w", 100, 1000)]),
        ("rtx2080ti", [("power_w", 101, 100)]),
        ("quadro-rtx8000", [("power_w", 100, 20)]),
        ("rtx3090", [("power_instant_w", 100, 100), ("power_average_w", 100, 1000)]),
        ("a10", [("power_average_w", 100, 1000)]),
        ("rtx4090", [("power_instant_w", 100, 110)]),
    ],
)
def test_simulated_sensors_are_those_published(
    name: str, sensors: list[tuple[str, float, float]]
) -> None:
    """arXiv 2312.02741: field, update period and window in ms."""
    card = card_of(load_gpu(name))
    assert card is not None
    assert [
        (each.field, pytest.approx(1e3 * each.update_s), pytest.approx(1e3 * each.window_s))
        for each in card.sensors
    ] == sensors


# What a user brings


def test_a_users_file_works_like_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_bytes(DEFAULT.read_bytes())
    assert load_market(str(tmp_path / "mine.toml")) == load_market("default")
    monkeypatch.chdir(tmp_path)
    assert load_market("mine.toml") == load_market("default")


def test_hashprice_may_be_left_out_and_dates_unquoted(
    edited: Callable[[str, str], Path],
) -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("hashprice = "))
    assert load_market(str(edited(line, ""))) == load_market("default")
    unquoted = edited(BTC, BTC.replace('"2026-06-26"', "2026-06-26"))
    assert load_market(str(unquoted)) == load_market("default")


def test_sets_replace_and_recompute() -> None:
    market = load_market("default")
    changed = apply_sets(market, ["btc=120940 power=0.05", "token=0.3", "rent=2"], today=TODAY)
    assert changed.btc_usd == Value(120940, "USD", "2026-11-22", "given with --set", "G")
    doubled = 2 * market.hashprice_usd_per_hash.value
    assert changed.hashprice_usd_per_hash.value == pytest.approx(doubled)
    assert changed.hashprice_usd_per_hash.as_of == "2026-06-26"
    assert changed.power_usd_per_j.value == pytest.approx(0.05 / 3.6e6)
    assert changed.tokens[0].model_id is None
    assert changed.tokens[0].in_usd_per_token.value == pytest.approx(0.3e-6)
    assert changed.rents[0].usd_per_s.value == pytest.approx(2 / 3600)
    assert apply_sets(market, [], today=TODAY) == market
    assert apply_sets(market, ["power=1", "power=2"], today=TODAY) == apply_sets(
        market, ["power=2"], today=TODAY
    )


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("btc=-1", "--set: btc: is -1, not more than 0.001; give the number in USD"),
        ("power=0", "--set: power: is 0, not more than 1e-06; give the number in USD/kWh"),
        ("token=nan", "--set: token: nan is not a number; give the number in USD/Mtok"),
        ("rent=1e999", "--set: rent: is inf, not a finite number; give the number in USD/h"),
        ("rent=two", "--set: rent: two is not a number; give the number in USD/h"),
        ("btx=1", "--set: btx: is not a known key; did you mean btc? known: btc, "),
        ("btc", "--set: btc is not key=number; write --set btc=…"),
        ("bt\x1b[31m=1", "--set: bt\\u001b[31m: is not a known key"),
    ],
)
def test_bad_sets(word: str, why: str) -> None:
    with pytest.raises(ProfileError) as caught:
        apply_sets(load_market("default"), [word], today=TODAY)
    assert str(caught.value).startswith(why)


def test_own_asic() -> None:
    asic = parse_asic("ths=200, watts=3500", today=TODAY)
    assert asic_joules_per_hash(asic) == pytest.approx(17.5e-12)
    assert asic.watts.flag == "G"
    with pytest.raises(ProfileError, match=r"--asic: watts: is missing; add watts=… in W"):
        parse_asic("ths=200", today=TODAY)
    with pytest.raises(ProfileError, match="not more than 1e-09"):
        parse_asic("ths=0,watts=1", today=TODAY)


@pytest.mark.parametrize("load", [load_market, load_gpu, load_asic, load_model])
def test_an_unknown_name_lists_the_known_ones(load: Callable[[str], Any]) -> None:
    with pytest.raises(ProfileError, match=r"has no nosuch; .*known: [a-z0-9]"):
        load("nosuch")
    with pytest.raises(ProfileError, match="did you mean rtx4090"):
        load_gpu("rtx490")

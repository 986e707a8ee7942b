"""Shipped profiles load whole and dated; what is wrong in a file is said in one clear line."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
BTC = 'btc = { value = 60470, unit = "USD", as_of = "2026-06-26", flag = "D", source = "'


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str], Path]:
    """The default market with one piece of its text replaced."""

    def edit(old: str, new: str) -> Path:
        text = DEFAULT.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} must occur once"
        path = tmp_path / "market.toml"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return edit


def complaint(path: Path | str) -> str:
    with pytest.raises(ProfileError) as caught:
        load_market(str(path))
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert text.startswith(str(path))
    return text


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
        assert first_day(value.as_of) <= TODAY
        assert len(value.source) > 3
        assert value.flag
        assert "U" not in value.flag
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
        ("NVIDIA H100 NVL", None),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", None),
        ("", None),
    ],
)
def test_a_card_is_found_by_the_exact_name_nvml_gives(nvml_name: str, profile: str | None) -> None:
    found = find_gpu(nvml_name)
    assert (found.name if found else None) == profile


@pytest.mark.parametrize("name", names("gpus"))
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
        ("btx=1", "--set: btx: is not a known key; did you mean btc? known: btc, power, rent"),
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


# Files that cannot be used


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\nbtc = {", "\nbtcc = {", "prices.btc: is missing; write prices.btc = {"),
        ("value = 60470", "value = -60470", "prices.btc.value: is -60470, not more than 0.001;"),
        ("value = 60470", "value = 0", "prices.btc.value: is 0, not more than 0.001;"),
        ("value = 60470", "value = nan", "prices.btc.value: is nan, not a finite number;"),
        ("value = 60470", "value = inf", "prices.btc.value: is inf, not a finite number;"),
        ("value = 60470", "value = 1e999", "prices.btc.value: is inf, not a finite number;"),
        ("value = 60470", "value = 1" + "0" * 400, "prices.btc.value: is inf, not a finite"),
        ("value = 60470", "value = true", "prices.btc.value: is not a number;"),
        ("value = 60470", 'value = "60470"', "prices.btc.value: is not a number;"),
        ("value = 60470", "value = [60470]", "prices.btc.value: is not a number;"),
        ("value = 60470, ", "", "prices.btc.value: is missing; give the number in USD"),
        ("value = 60470", "value = 62500", "network.hashprice: is -3.2% off the 29.64 that"),
        ("value = 955584", "value = 855584", "network.height: contradicts its date, when the"),
        ("value = 955584", "value = 955584.5", "network.height: is not a whole number;"),
        ("value = 955584", "value = 1055584", "network.reward: is not the 1.578 BTC of subsidy"),
        ('0.0933, unit = "USD/kWh"', '0.0933, unit = "USD"', "prices.power.unit: is USD, not USD/"),
        ("low = 0.0821", "low = 0.5", "prices.power.low: to high does not hold the value;"),
        ("low = 0.0821, ", "", "prices.power.low: is missing;"),
        ('"bt-miners.com" }\nfee', '" " }\nfee', "network.hashprice.source: is not a text;"),
        (BTC, BTC.replace("06-26", "06-31"), "prices.btc.as_of: is not a date; write"),
        (BTC, BTC.replace('"D"', '"Z"'), "prices.btc.flag: is Z; use letters of S/D/P/M/C/U/A/G"),
        (BTC, BTC.replace("flag", "flags"), "prices.btc.flag: is missing;"),
        (BTC, BTC.replace("unit", "note = 1, unit"), "prices.btc.note: is not a known key;"),
        ("[prices]", "[price]", "prices: is missing; add a table [prices]"),
        ("[prices]", "[prices.more]", "prices.btc: is missing;"),
        ("[asics]", "[extra]\n[asics]", "extra: is not a known key; known: asics, name, network, "),
        (
            '"block-proto-rig"',
            '"block-proto-rag"',
            "asics.on_sale: has no profile block-proto-rag;",
        ),
        ('gpu = "h200"', 'gpu = "h300"', "rents.gpu: has no profile h300; did you mean h200?"),
        ('gpu = "h200"', 'gpu = "h100"', "rents.gpu: prices h100 twice; keep one of them"),
        ('"Qwen3-32B"', '"Qwen3-14B"', "tokens.model_id: prices Qwen3-14B twice;"),
        ('name = "default"', 'name = "a\\u202eb"', "name: holds control characters;"),
        ('name = "default"', 'name = "a\\u001b[31m"', "name: holds control characters;"),
        ('name = "default"', '"a\\u001bb" = 1', "holds control characters;"),
        ('name = "default"', f'name = "{"x" * 600}"', "name: is too long; keep it under 500"),
        ('name = "default"', "name = default", "is not TOML: "),
        ('name = "default"', "name = " + "9" * 5000, "is not TOML: "),
        ('name = "default"', "name = " + "[" * 40 + "]" * 40, "nests deeper than 32;"),
        ('name = "default"', "name = " + "[" * 100_000, "nests deeper than 32;"),
        ('name = "default"', ".".join("a" * 50_000) + " = 1", "has a line with over 40 dots;"),
        ('name = "default"', ".".join("a" * 40) + " = 1", "nests deeper than 32;"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    edited: Callable[[str, str], Path], old: str, new: str, said: str
) -> None:
    path = edited(old, new)
    assert complaint(path).startswith(f"{path}: {said}")


def test_a_name_that_no_terminal_should_see() -> None:
    with pytest.raises(ProfileError) as caught:
        load_market("\x1b]0;\0/a.toml")
    assert str(caught.value).startswith("\\u001b]0;\\u0000/a.toml: ")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    assert complaint(path).endswith("is not a file; give the path of a TOML file")
    path.write_bytes(b"\x00\xff\xfe\x01" * 100)
    assert "is not UTF-8 text (byte 1); save it as UTF-8" in complaint(path)
    path.write_bytes(b"a = 1\x00")
    assert "is not TOML" in complaint(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    assert "is larger than 1 MiB" in complaint(path)
    assert "is not a file" in complaint(tmp_path / ".")
    path.write_bytes(b"")
    assert "is missing" in complaint(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 6000), junk=st.binary(max_size=40))
def test_no_damage_gives_anything_but_a_profile_error(
    tmp_path: Path, cut: int, junk: bytes
) -> None:
    raw = DEFAULT.read_bytes()
    path = tmp_path / "market.toml"
    path.write_bytes(raw[:cut] + junk + raw[cut + len(junk) :])
    said = ""
    try:
        load_market(str(path))
    except ProfileError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[simulation.decode]", "[simulation.other]", "simulation.decode: is missing"),
        ('config = { model = "8b",', "config = { model = 5,", "config.model: is missing"),
        ("update = { value = 0.1,", "update = { value = 1e-9,", "sensor.instant.update"),
        ("gain = { value = 0.969,", "gain = { value = 1e300,", "sensor.instant.gain"),
        ("[sensor.instant]", "[sensor.momentary]", "sensor.momentary: is not a known key"),
        ("[sensor.instant]", "[other]", "sensor.instant: is missing; add one of: instant, average"),
        ("watts = { value = 480,", "watts = { value = 1e300,", "simulation.sha256d.watts"),
    ],
)
def test_a_simulated_card_that_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = (Path(str(files("bench.profiles"))) / "gpus" / "h100.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    bad = tmp_path / "card.toml"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError, match=re.escape(words)):
        load_gpu(str(bad))

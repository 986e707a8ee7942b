"""A file that cannot be used is refused in one clear line. Takes about three seconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.catalogue import ProfileError, load_gpu, load_market, rooms

BTC = (
    "btc = { value = 60470, low = 45000, high = 88000, "
    'unit = "USD", as_of = "2026-06-26", flag = "D/A", source = "'
)


def complaint(path: Path | str) -> str:
    with pytest.raises(ProfileError) as caught:
        load_market(str(path))
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert text.startswith(str(path))
    return text


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
        (BTC, BTC.replace('"D/A"', '"Z"'), "prices.btc.flag: is Z; use letters of S/D/P/M/C/U/A/G"),
        (BTC, BTC.replace("flag", "flags"), "prices.btc.flag: is missing;"),
        (BTC, BTC.replace("unit", "note = 1, unit"), "prices.btc.note: is not a known key;"),
        ("[prices]", "[price]", "prices: is missing; add a table [prices]"),
        ("[prices]", "[prices.more]", "prices.btc: is missing;"),
        ("[asics]", "[extra]\n[asics]", "extra: is not a known key; known: asics, capital, name, "),
        ("[capital]", "[capitol]", "capital: is missing; add a table [capital]"),
        ("discount_rate = {", "discount = {", "capital.discount_rate: is missing;"),
        (
            "discount_rate = { value = 0.1",
            "discount_rate = { value = -0.1",
            "capital.discount_rate",
        ),
        (
            "card_life = { value = 4,",
            "card_life = { value = 0,",
            "capital.card_life.value: is 0, not",
        ),
        (
            "residual = { value = 0.1,",
            "residual = { value = 1.5,",
            "capital.residual.value: is 1.5,",
        ),
        (
            '"block-proto-rig"',
            '"block-proto-rag"',
            "asics.on_sale: has no profile block-proto-rag;",
        ),
        ('gpu = "mi300x"', 'gpu = "mi301x"', "rents.gpu: has no profile mi301x; did you mean mi3"),
        ('gpu = "l4"', 'gpu = "t4"', "rents.gpu: prices t4, on-demand, twice; keep one of them"),
        ("value = 60470", "value = 1e308", "prices.btc.value: is 1e+308, more than 1e+12;"),
        (
            ', as_of = "2025-06", flag = "S", source = "TheMinerMag: under',
            ', flag = "S", source = "',
            "network.fee_share.as_of: is missing; write the date",
        ),
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
    raw = (rooms.root() / "markets" / "default.toml").read_bytes()
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
    text = (rooms.root() / "gpus" / "h100.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    bad = tmp_path / "card.toml"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError, match=re.escape(words)):
        load_gpu(str(bad))

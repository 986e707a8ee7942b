"""What cannot be true of a card, a machine or a market is named with its cure. Takes about 8 s."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bench.catalogue import load_gpu, names, rooms
from bench.catalogue.checks import Check, general_checks, take_stock
from bench.catalogue.rooflines import FP32_LANES, card_checks
from bench.catalogue.values import flag_counts, values_of
from bench.records.market import GpuProfile, SimulatedLoad, Value
from bench.roofline import hash_ceiling, hash_counts

TODAY = date(2026, 11, 22)


def everything(today: date = TODAY) -> list[Check]:
    shelf = take_stock()
    return [*general_checks(shelf, today), *card_checks(shelf)]


def failures(checks: list[Check]) -> list[str]:
    return [f"{check.item}: {check.text}" for check in checks if check.status == "FAIL"]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Replaces a piece of a shipped profile, in a copy of them all that is then in force."""
    copy = tmp_path / "profiles"
    shutil.copytree(rooms.root(), copy)
    monkeypatch.setattr(rooms, "root", lambda: copy)

    def change(file: str, old: str, new: str) -> None:
        text = (copy / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} must occur once"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")

    return change


def test_what_ships_has_no_failure_and_every_warning_a_cure() -> None:
    checks = everything()
    assert failures(checks) == []
    assert all(check.cure for check in checks if check.status != "OK")
    assert all(check.cure is None for check in checks if check.status == "OK")
    items = [check.item for check in checks]
    assert {f"gpus/{name}" for name in names("gpus")} <= set(items)
    assert {f"markets/{name}" for name in names("markets")} <= set(items)


def test_doubt_is_counted_and_named() -> None:
    found = {check.item: check for check in everything() if check.item.endswith(("M", "C", "U"))}
    assert found["gpus: flag U"].fields == ("b200.int32_lanes", "b300.int32_lanes")
    doubted = found["gpus: flag M"]
    assert doubted.status == "WARN"
    assert len(doubted.fields) > 20
    assert doubted.text.startswith(f"{len(doubted.fields)} values are M (from memory")
    for field in doubted.fields:
        name, _, path = field.partition(".")
        flags = dict(values_of(load_gpu(name)))[path].flag.split("/")
        assert "M" in flags
        assert "S" not in flags
    assert all(field.startswith("default.") for field in found["markets: flag U"].fields)


def test_a_model_that_no_market_prices_is_named() -> None:
    (found,) = [check for check in everything() if check.item == "models/1b"]
    assert found.status == "WARN"
    assert found.text.startswith("Llama-3.2-1B has no price in ai-slump, bear")


def test_every_architecture_has_its_lanes() -> None:
    assert {load_gpu(name).architecture for name in names("gpus")} <= set(FP32_LANES)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("gpus/t4.toml", "value = 8.1,", "value = 12,", "gpus/t4: fp32 is +47% off 8.1 TFLOP/s"),
        ("gpus/t4.toml", "value = 1590,", "value = 1200,", "gpus/t4: fp32 is +32% off 6.1 TFLOP/s"),
        ("gpus/t4.toml", "value = 65,", "value = 7.9,", "gpus/t4: fp16 (7.9) is below fp32 (8.1 T"),
        ("gpus/l4.toml", "value = 242,", "value = 61,", "gpus/l4: fp8 (61) is below bf16 (121 TF"),
        (
            "gpus/mi300x.toml",
            "value = 5300,",
            "value = 10300,",
            "gpus/mi300x: bandwidth over tdp is 13",
        ),
        (
            "gpus/l4.toml",
            "value = 72,",
            "value = 720,",
            "gpus/l4: bandwidth over tdp is 0.417 GB/s",
        ),
        (
            "gpus/t4.toml",
            "value = 65,",
            "value = 650,",
            "gpus/t4: fp16 over tdp is 9.29 TFLOP/s per",
        ),
        (
            "gpus/v100.toml",
            "value = 3325000000,",
            "value = 3600000000,",
            "gpus/v100: simulated hash rate 3.6 GH/s is above its ceiling 3.46",
        ),
        (
            "gpus/v100.toml",
            "value = 1305,",
            "value = 2100,",
            "gpus/v100: simulated decode 2100 tokens/s is above the bandwidth roofline 2009",
        ),
        (
            "gpus/v100.toml",
            "value = 240,",
            "value = 340,",
            "gpus/v100: simulated sha256d draws 340 W",
        ),
        ("gpus/v100.toml", '"8b", p', '"9b", p', "gpus/v100: simulates 9b, which is no model"),
        (
            "gpus/v100.toml",
            '"7.0"',
            '"gfx942"',
            "gpus/v100: simulates hashing on compute capability gfx942, never counted",
        ),
        (
            "gpus/v100.toml",
            '"fp16", b',
            '"fp3", b',
            "gpus/v100: simulates precision fp3, whose size",
        ),
        ("gpus/l4.toml", '"NVIDIA L4"', '"Tesla T4"', "gpus: l4, t4 all match Tesla T4"),
        ("gpus/l4.toml", 'name = "l4"', 'name = "l5"', "gpus/l4: calls itself l5"),
        (
            "gpus/l4.toml",
            'value = 24, unit = "GB", as_of = "2026-11"',
            'value = 24, unit = "GB", as_of = "2027"',
            "gpus/l4: memory_bytes is of 2027, which is still to come",
        ),
        (
            "asics/avalon-q.toml",
            "value = 1674,",
            "value = 167400,",
            "asics/avalon-q: 1.86e+03 J/TH is",
        ),
        (
            "asics/avalon-q.toml",
            'unit = "W"',
            'unit = "kW"',
            "asics/avalon-q: asics/avalon-q.toml: watts.unit: is kW, not W",
        ),
        (
            "gpus/l4.toml",
            'architecture = "ada"',
            "architecture = ada",
            "gpus/l4: gpus/l4.toml: is not",
        ),
        (
            "markets/bull.toml",
            'unit = "USD"',
            'unit = "EUR"',
            "markets/bull: markets/bull.toml: prices.btc.unit: is EUR, not USD",
        ),
        (
            "markets/post-halving-2028.toml",
            "value = 1.609375,",
            "value = 3.15625,",
            "markets/post-halving-2028: markets/post-halving-2028.toml: network.reward: is not",
        ),
    ],
)
def test_what_cannot_be_is_one_failure(
    edit: Callable[[str, str, str], None], file: str, old: str, new: str, said: str
) -> None:
    edit(file, old, new)
    found = failures(everything())
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_broken_default_takes_its_scenarios_along_and_is_the_one_blamed(
    edit: Callable[[str, str, str], None],
) -> None:
    edit("markets/default.toml", "value = 60470,", "value = 0,")
    found = failures(everything())
    assert {line.partition(":")[0] for line in found} == {f"markets/{n}" for n in names("markets")}
    assert all("markets/default.toml: prices.btc.value: is 0" in line for line in found)


def test_only_what_is_assumed_may_lie_ahead() -> None:
    assert failures(everything(date(2026, 11, 20))) == []
    early = failures(everything(date(2026, 10, 1)))
    assert any(line.startswith("gpus/h100: sm is of 2026-11, which is still") for line in early)
    assert not any("post-halving" in line and "height" in line for line in early)


def test_an_unknown_architecture_is_a_warning(edit: Callable[[str, str, str], None]) -> None:
    edit("gpus/l4.toml", 'architecture = "ada"', 'architecture = "lovelace"')
    checks = everything()
    (found,) = [check for check in checks if check.item == "gpus/l4: architecture"]
    assert found.status == "WARN"
    assert "architecture lovelace is not known" in found.text


@pytest.mark.parametrize("share", [0.99, 1.019, 1.03])
def test_a_simulated_hash_rate_may_pass_its_ceiling_by_two_percent(share: float) -> None:
    gpu = load_gpu("h100")
    counts = hash_counts("9.0")
    assert counts is not None
    assert gpu.simulation is not None
    rate = share * hash_ceiling(counts, gpu.sm.value, gpu.boost_hz.value)
    old = gpu.simulation.loads["sha256d"]
    load = SimulatedLoad(replace(old.units_per_s, value=rate), old.watts, {})
    loads = {**gpu.simulation.loads, "sha256d": load}
    changed = replace(gpu, simulation=replace(gpu.simulation, loads=loads))
    assert bool(failures(judged(changed))) == (share > 1.02)


def judged(gpu: GpuProfile) -> list[Check]:
    shelf = replace(take_stock(), gpus={gpu.name: gpu})
    return list(card_checks(shelf))


def test_values_are_found_by_field_and_their_flags_counted() -> None:
    value = Value(1.0, "1", "2026", "a source", "S/M")
    record = replace(load_gpu("t4"), sm=value)
    assert dict(values_of(record))["sm"] == value
    counts = flag_counts(load_gpu("h100"))
    assert sum(counts.values()) >= len(dict(values_of(load_gpu("h100"))))
    assert list(counts) == [letter for letter in "SDPMCUAG" if letter in counts]

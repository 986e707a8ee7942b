"""A market over a base: what is replaced, what is kept, what is scaled, what is refused.

Takes about three seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.catalogue import ProfileError, load_market, names
from bench.catalogue.inherit import MAX_BASES
from bench.economics.chain import first_day, subsidy_btc
from bench.economics.mining import usd_per_hash
from bench.records.market import MarketProfile, RentPrice, Value

SCENARIOS = [name for name in names("markets") if name != "default"]


def dated(value: float, unit: str, extra: str = "") -> str:
    return (
        f'{{ value = {value!r}, {extra}unit = "{unit}", as_of = "2026-11-20", flag = "G",'
        ' source = "mine" }'
    )


def write(path: Path, text: str, base: str = "default", name: str = "mine") -> Path:
    path.write_text(f'name = "{name}"\ntitle = "Mine"\nbase = "{base}"\n{text}', encoding="utf-8")
    return path


def laid(path: Path, text: str, base: str = "default") -> MarketProfile:
    return load_market(str(write(path, text, base)))


def complaint(path: Path, text: str, base: str = "default") -> str:
    with pytest.raises(ProfileError) as caught:
        laid(path, text, base)
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(str(path.parent))
    return said


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


# What is laid over


def test_nothing_said_is_the_base_under_another_name(mine: Path) -> None:
    market, default = laid(mine, ""), load_market("default")
    assert (market.name, market.title) == ("mine", "Mine")
    for field in MarketProfile.__dataclass_fields__:
        if field not in ("name", "title"):
            assert getattr(market, field) == getattr(default, field)


def test_a_table_is_laid_over_key_by_key(mine: Path) -> None:
    default = load_market("default")
    market = laid(mine, f"[prices]\npower = {dated(0.05, 'USD/kWh')}\n")
    power = market.power_usd_per_j
    assert power.value == pytest.approx(0.05 / 3.6e6)
    assert (power.as_of, power.source, power.flag, power.low) == ("2026-11-20", "mine", "G", None)
    assert market.btc_usd == default.btc_usd
    assert market.hashprice_usd_per_hash == default.hashprice_usd_per_hash
    market = laid(mine, '[asics]\non_sale = ["avalon-q"]\n')
    assert market.asics_on_sale == ("avalon-q",)


def test_a_moved_price_leaves_the_bases_hashprice_behind(mine: Path) -> None:
    market, default = (
        laid(mine, f"[prices]\nbtc = {dated(120940, 'USD')}\n"),
        load_market("default"),
    )
    doubled = 2 * default.hashprice_usd_per_hash.value
    assert market.hashprice_usd_per_hash.value == pytest.approx(doubled)
    stated = f"[prices]\nbtc = {dated(120940, 'USD')}\n[network]\nhashprice = "
    assert laid(mine, stated + dated(57.4, "USD/PH/day")).btc_usd.value == 120940
    assert "network.hashprice: is -50." in complaint(mine, stated + dated(28.68, "USD/PH/day"))


def test_a_token_price_replaces_that_of_its_model(mine: Path) -> None:
    default = load_market("default")
    price = dated(9.0, "USD/Mtok")
    text = f'[[tokens]]\nmodel_id = "Qwen3-32B"\nin = {price}\nout = {price}\n'
    market = laid(mine, text)
    assert market.tokens[0].model_id == "Qwen3-32B"
    assert market.tokens[0].in_usd_per_token.value == pytest.approx(9e-6)
    kept = [price for price in default.tokens if price.model_id != "Qwen3-32B"]
    assert list(market.tokens[1:]) == kept


def test_ones_own_rent_is_the_one_charged(mine: Path) -> None:
    default = load_market("default")
    text = f'[[rents]]\ngpu = "h100"\ntier = "TIER"\nprice = {dated(2.0, "USD/h")}\n'
    own = laid(mine, text.replace("TIER", "own"))
    assert (own.rents[0].gpu, own.rents[0].tier) == ("h100", "own")
    assert list(own.rents[1:]) == list(default.rents)
    replaced = laid(mine, text.replace("TIER", "marketplace"))
    assert replaced.rents[0].usd_per_s.value == pytest.approx(2 / 3600)
    assert len(replaced.rents) == len(default.rents)
    assert laid(mine, text.replace('"h100"', '"t4"')).rents[1:] == default.rents


def test_a_base_may_be_a_file_beside_it_and_have_a_base_itself(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "low.toml", f"[prices]\npower = {dated(0.03, 'USD/kWh')}\n")
    write(tmp_path / "mid.toml", f"[prices]\nbtc = {dated(9e4, 'USD')}\n", "sub/low.toml")
    market = laid(tmp_path / "top.toml", "", "mid.toml")
    assert market.power_usd_per_j.value == pytest.approx(0.03 / 3.6e6)
    assert market.btc_usd.value == 9e4


# Scaling


def rents(market: MarketProfile) -> dict[tuple[str | None, str], Value]:
    return {(rent.gpu, rent.tier): rent.usd_per_s for rent in market.rents}


@settings(max_examples=20)
@given(factor=st.floats(0.02, 90), low=st.floats(0.1, 1), high=st.floats(1, 10))
def test_scaling_multiplies_prices_and_widens_their_ranges(
    tmp_path_factory: pytest.TempPathFactory, factor: float, low: float, high: float
) -> None:
    path = tmp_path_factory.mktemp("scaled") / "mine.toml"
    extra = f"low = {factor * low!r}, high = {factor * high!r}, "
    before = load_market("default")
    after = laid(path, f"[scale]\nrents = {dated(factor, '1', extra)}\n")
    assert after.tokens == before.tokens
    for key, old in rents(before).items():
        new = rents(after)[key]
        assert new.value == pytest.approx(old.value * factor)
        least = old.value if old.low is None else old.low
        most = old.value if old.high is None else old.high
        assert (new.low, new.high) == pytest.approx((least * factor * low, most * factor * high))
        assert old.source in new.source
        assert new.source.endswith("mine")
        assert {*old.flag.split("/"), "G"} == set(new.flag.split("/"))
        assert first_day(new.as_of) <= first_day(old.as_of)


def test_what_the_file_itself_prices_is_not_scaled(mine: Path) -> None:
    price, factor = dated(2.0, "USD/h"), dated(0.5, "1")
    text = f'[scale]\nrents = {factor}\n[[rents]]\ngpu = "h100"\ntier = "own"\nprice = {price}\n'
    market = laid(mine, text)
    assert market.rents[0].usd_per_s == Value(2 / 3600, "USD/s", "2026-11-20", "mine", "G")
    assert market.rents[1].usd_per_s.value == pytest.approx(0.5 * 2.69 / 3600)


def test_scales_add_up_down_the_line(tmp_path: Path) -> None:
    half = f"[scale]\ntokens = {dated(0.5, '1')}\n"
    write(tmp_path / "half.toml", half)
    quarter = laid(tmp_path / "quarter.toml", half, "half.toml")
    first = load_market("default").tokens[0].in_usd_per_token.value
    assert quarter.tokens[0].in_usd_per_token.value == pytest.approx(first / 4)


# What is refused


@pytest.mark.parametrize(
    ("text", "base", "said"),
    [
        ("", "nosuch", "base: has no nosuch; known: ai-slump, bear, bull, default"),
        ("", "defualt", "base: has no defualt; did you mean default?"),
        ("", "none.toml", "none.toml: is not a file; give the path of a TOML file"),
        ("", "mine.toml", "base: leads back to itself; base it on another market"),
        ("[priced]\n", "default", "priced: is not a known key; did you mean prices?"),
        ("[prices]\nbct = 1\n", "default", "prices.bct: is not a known key; did you mean btc?"),
        ("prices = 3\n", "default", "prices: is not a table;"),
        (f"network = 3\n[prices]\nbtc = {dated(9e4, 'USD')}\n", "default", "network: is not a t"),
        ("rents = 3\n", "default", "rents: is not a list of tables;"),
        ("rents = [3]\n", "default", "rents[0]: is not a table;"),
        (f"[scale]\nrent = {dated(1, '1')}\n", "default", "scale.rent: is not a known key; did"),
        (f"[scale]\nrents = {dated(0, '1')}\n", "default", "scale.rents.value: is 0, not more"),
        (f"[scale]\nrents = {dated(1e4, '1')}\n", "default", "scale.rents.value: is 10000, more"),
        ("[scale]\nrents = 2\n", "default", "scale.rents: is not a table; write it as {"),
        (f"[prices]\nbtc = {dated(-5, 'USD')}\n", "default", "prices.btc.value: is -5, not more"),
        (
            f"[network]\nheight = {dated(1055584, '1')}\n",
            "default",
            "network.reward: is not the 1.578 BTC of subsidy",
        ),
    ],
)
def test_a_market_that_cannot_be_laid_over(mine: Path, text: str, base: str, said: str) -> None:
    where = mine if base != "none.toml" else mine.parent
    assert complaint(mine, text, base).removeprefix(str(where)).lstrip(": /").startswith(said)


OWN = [
    f"[prices]\nbtc = {dated(9e4, 'USD')}\n",
    f"[scale]\nrents = {dated(0.5, '1')}\n",
    f'[[rents]]\ngpu = "h100"\ntier = "own"\nprice = {dated(2.0, "USD/h")}\n',
]


@settings(max_examples=60)
@given(text=st.permutations(OWN).map("".join), cut=st.integers(0, 420), junk=st.text(max_size=12))
def test_no_damage_gives_anything_but_a_profile_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, cut: int, junk: str
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "mine.toml"
    junk = junk.encode("utf-8", "ignore").decode("utf-8")
    said = ""
    try:
        laid(path, text[:cut] + junk + text[cut + len(junk) :])
    except ProfileError as error:
        said = str(error)
    assert said.isprintable()


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    said = complaint(tmp_path / "mine.toml", "", "loop.toml")
    assert "loop.toml: is not a file; give the path of a TOML file" in said
    write(tmp_path / "real.toml", "", "link.toml")
    (tmp_path / "link.toml").symlink_to(tmp_path / "real.toml")
    with pytest.raises(ProfileError, match="base: leads back to itself"):
        load_market(str(tmp_path / "link.toml"))


def test_a_name_and_a_title_are_ones_own(mine: Path) -> None:
    mine.write_text('base = "default"\ntitle = "x"\n', encoding="utf-8")
    with pytest.raises(ProfileError, match="name: is missing"):
        load_market(str(mine))
    mine.write_text('name = "x"\n[scale]\n', encoding="utf-8")
    with pytest.raises(ProfileError, match='base: is missing; add base = "default"'):
        load_market(str(mine))


def test_a_ring_of_bases_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", "", "b.toml")
    write(tmp_path / "b.toml", "", "./a.toml")
    assert "b.toml: base: leads back to itself" in complaint(tmp_path / "a.toml", "", "b.toml")


def test_bases_go_so_deep_and_no_deeper(tmp_path: Path) -> None:
    base = "default"
    for depth in range(MAX_BASES):
        assert laid(tmp_path / f"{depth}.toml", "", base).name == "mine"
        base = f"{depth}.toml"
    said = complaint(tmp_path / "deep.toml", "", base)
    assert f"base: is more than {MAX_BASES} files deep; base it on a market nearer" in said


def test_a_bad_base_is_blamed_itself(tmp_path: Path) -> None:
    write(tmp_path / "low.toml", f"[prices]\nbtc = {dated(0, 'USD')}\n")
    said = complaint(tmp_path / "top.toml", f"[prices]\nbtc = {dated(5e4, 'USD')}\n", "low.toml")
    assert said.startswith(f"{tmp_path / 'low.toml'}: prices.btc.value: is 0")


# The scenarios that ship


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenarios_identities_hold(name: str) -> None:
    market = load_market(name)
    height, reward = market.height.value, market.reward_btc.value
    assert reward == pytest.approx(
        subsidy_btc(int(height)) * (1 + market.fee_share.value), rel=1e-6
    )
    derived = usd_per_hash(market.difficulty.value, market.btc_usd.value, reward)
    assert market.hashprice_usd_per_hash.value == pytest.approx(derived)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_scenario_changes_is_assumed_and_reasoned(name: str) -> None:
    market, default = load_market(name), load_market("default")
    changed = [
        getattr(market, field)
        for field in MarketProfile.__dataclass_fields__
        if isinstance(getattr(market, field), Value)
        and getattr(market, field) != getattr(default, field)
        and field != "hashprice_usd_per_hash"
    ]
    assert changed or market.rents != default.rents
    for value in changed:
        assert value.flag == "A"
        assert len(value.source) > 15
    scaled = [rent for rent in market.rents if rent not in default.rents]
    assert all("A" in rent.usd_per_s.flag.split("/") for rent in scaled)


def test_scenarios_say_what_their_names_promise() -> None:
    found = {name: load_market(name) for name in names("markets")}
    default, slump = found["default"], found["ai-slump"]
    assert found["bull"].btc_usd.value > default.btc_usd.value > found["bear"].btc_usd.value
    hashprices = {name: market.hashprice_usd_per_hash.value for name, market in found.items()}
    assert hashprices["bull"] > hashprices["default"] > hashprices["bear"]
    assert hashprices["ai-slump"] == hashprices["default"]
    later = found["post-halving-2028"]
    assert later.height.value >= 1_050_000
    assert later.height.as_of.startswith("2028-04")
    assert later.reward_btc.value < 0.6 * default.reward_btc.value
    assert slump.serve_utilisation.value < default.serve_utilisation.value

    def charged(market: MarketProfile) -> RentPrice:
        return market.rents[0]

    assert charged(slump).usd_per_s.value < 0.5 * charged(default).usd_per_s.value
    assert slump.tokens[0].out_usd_per_token.value < 0.5 * default.tokens[0].out_usd_per_token.value

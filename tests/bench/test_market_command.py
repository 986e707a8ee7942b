"""``bench market``: what it lists, what it refuses, what it writes. About three seconds."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from bench.catalogue import load_market, names, rooms
from bench.cli import market_check, market_new, run
from bench.economics.units import J_PER_KWH
from bench.records.market import FLAGS

TODAY = date(2026, 11, 22)
Said = tuple[int, str, str]


@pytest.fixture
def market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs ``bench market …`` in an empty folder on a known day: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(market_check, "today", lambda: TODAY)
    monkeypatch.setattr(market_new, "today", lambda: TODAY)

    def call(*words: str) -> Said:
        status = run(["market", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped profiles, in force."""
    copy = tmp_path / "profiles"
    shutil.copytree(rooms.root(), copy)
    monkeypatch.setattr(rooms, "root", lambda: copy)
    return copy


# list


def test_the_list_has_every_market_with_its_age_and_flags(market: Callable[..., Said]) -> None:
    status, out, err = market("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Markets (boundary: facility)"
    for name in names("markets"):
        assert any(line.startswith(name) for line in lines)
        assert f"{name}: {load_market(name).title}" in out
    (default,) = [line for line in lines if line.startswith("default ")]
    assert default.split()[1:6] == ["60,470", "133.9", "28.68", "0.0929", "2025"]
    assert "Flags by number of values: M from memory" in out


def test_the_list_for_machines(market: Callable[..., Said]) -> None:
    status, out, err = market("list", "--json", "-")
    assert status == 0
    assert "Markets (boundary: facility)" in err
    found = {each["name"]: each for each in json.loads(out)["markets"]}
    assert sorted(found) == names("markets")
    assert found["default"]["btc_usd"] == 60470
    assert found["default"]["hashprice_usd_per_ph_day"] == pytest.approx(28.68, rel=1e-4)
    assert found["default"]["power_usd_per_kwh"] == pytest.approx(0.0929)
    assert found["bull"]["title"] == load_market("bull").title
    assert found["post-halving-2028"]["flags"]["A"] > 10
    assert found["default"]["oldest"]["age_days"] > 150


def test_a_broken_market_leaves_the_others_on_the_list(
    market: Callable[..., Said], own_profiles: Path
) -> None:
    (own_profiles / "markets" / "bull.toml").write_text("name = 3\n", encoding="utf-8")
    status, out, _ = market("list")
    assert status == 2
    assert "bad: markets/bull.toml: base: is missing" in out
    assert "\nbear " in out


# check


def test_what_ships_passes_and_stale_prices_are_named_with_their_age(
    market: Callable[..., Said],
) -> None:
    status, out, _ = market("check")
    assert status == 0
    for name in names("markets"):
        assert f"ok: {name}: " in out
    status, out, _ = market("check", "default")
    assert status == 0
    assert "  stale, days old (limit 7): BTC 149\n" in out
    assert "  stale, days old (limit 14): difficulty 149\n" in out
    assert "rent of rtx4090 (on-demand) 174" in out


def test_strict_makes_stale_prices_a_failure(market: Callable[..., Said]) -> None:
    assert market("check", "default", "--strict")[0] == 9


def test_every_file_is_looked_at_whatever_the_others_hold(
    market: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(
        'name = "bad"\ntitle = "Bad"\nbase = "default"\n[prices]\nbtc = { value = -1, unit = "USD",'
        ' as_of = "2026-11-22", flag = "G", source = "me" }\n',
        encoding="utf-8",
    )
    status, out, _ = market("check", "bad.toml", "nosuch", "none.toml", "bear", "--json", "o.json")
    assert status == 2
    lines = out.splitlines()
    assert lines[0].startswith("bad: bad.toml: prices.btc.value: is -1, not more than 0.001;")
    assert lines[1].startswith("bad: profiles/markets: has no nosuch; known: ai-slump, bear, bull")
    assert lines[2] == "bad: none.toml: is not a file; give the path of a TOML file"
    assert lines[3].startswith("ok: bear: ")
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["markets"]
    assert [each["status"] for each in found] == ["bad", "bad", "bad", "stale"]
    assert found[3]["ages"][0]["what"] == "BTC"


def test_a_market_that_names_a_broken_machine_is_bad(
    market: Callable[..., Said], own_profiles: Path
) -> None:
    (own_profiles / "asics" / "antminer-s21.toml").write_text("name = 3\n", encoding="utf-8")
    status, out, _ = market("check", "default")
    assert status == 2
    assert out.startswith("bad: asics/antminer-s21.toml: name: is not a text")


def test_nothing_of_a_name_reaches_the_terminal_raw(market: Callable[..., Said]) -> None:
    status, out, _ = market("check", "\x1b]0;x\x07.toml")
    assert status == 2
    assert "\x1b" not in out
    assert "\x07" not in out


# new


def test_ones_own_market_is_written_and_passes(market: Callable[..., Said], tmp_path: Path) -> None:
    words = ("--set", "btc=91000", "power=0.05", "--token", "Llama-3.1-8B=0.06")
    # The words after --set are spread by the program's own front door.
    status, out, err = market("new", "mine.toml", *words, "--rent", "h100=2.1")
    assert (status, err) == (0, "")
    assert out == "Wrote mine.toml; judge it with: bench market check mine.toml\n"
    mine = load_market(str(tmp_path / "mine.toml"))
    assert (mine.btc_usd.value, mine.btc_usd.as_of, mine.btc_usd.flag) == (91000, "2026-11-22", "G")
    assert mine.power_usd_per_j.value * J_PER_KWH == pytest.approx(0.05)
    assert mine.tokens[0].model_id == "Llama-3.1-8B"
    assert mine.tokens[0].out_usd_per_token.value == pytest.approx(0.06e-6)
    assert (mine.rents[0].gpu, mine.rents[0].tier) == ("h100", "own")
    assert mine.rents[0].usd_per_s.value == pytest.approx(2.1 / 3600)
    assert mine.difficulty == load_market("default").difficulty
    status, out, _ = market("check", "mine.toml")
    assert status == 0
    assert "BTC" not in out.replace("ok: mine.toml", "")


def test_what_is_not_given_stands_as_a_comment_to_fill_in(
    market: Callable[..., Said], tmp_path: Path
) -> None:
    assert market("new", "mine.toml", "--from", "bull")[0] == 0
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert 'base = "bull"' in text
    assert '# btc = { value = 126000, unit = "USD", as_of = "2026-11-22", flag = "G"' in text
    assert all(len(line) <= 96 for line in text.splitlines() if line.startswith("# A"))
    uncommented = text.replace("# btc =", "btc =").replace("# power =", "power =")
    (tmp_path / "mine.toml").write_text(uncommented, encoding="utf-8")
    bull, mine = load_market("bull"), load_market("mine.toml")
    assert mine.btc_usd.value == bull.btc_usd.value
    assert mine.power_usd_per_j.value == pytest.approx(bull.power_usd_per_j.value)
    assert mine.power_usd_per_j.flag == "G"


def test_a_market_may_be_made_from_ones_own(market: Callable[..., Said], tmp_path: Path) -> None:
    assert market("new", "one.toml", "--set", "btc=70000")[0] == 0
    (tmp_path / "sub").mkdir()
    assert market("new", "sub/two.toml", "--from", "one.toml", "--set", "power=0.04")[0] == 0
    two = load_market("sub/two.toml")
    assert two.btc_usd.value == 70000
    assert two.power_usd_per_j.value * J_PER_KWH == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine.txt",), "mine.txt: a market's file is a plain name ending in .toml; write for"),
        (("a b.toml",), "a b.toml: a market's file is a plain name"),
        (("mine.toml", "--from", "nosuch"), "profiles/markets: has no nosuch; known: ai-slump"),
        (("mine.toml", "--set", "btc=0"), "--set: btc: is 0, not more than 0.001; give the number"),
        (("mine.toml", "--set", "rent=2"), "--set: rent: is not a known key; known: btc, diff"),
        (("mine.toml", "--rent", "h300=2"), "mine.toml: rents.gpu: has no profile h300; did you"),
        (("mine.toml", "--rent", "2"), "--rent: 2 is not NAME=USD; give a number in USD/h behind"),
        (("mine.toml", "--token", "x=nan"), "--token: x: nan is not a number; give the number in"),
        (("mine.toml", "--token", "a=1", "--token", "a=2"), "mine.toml: tokens.model_id: prices a"),
    ],
)
def test_a_market_that_cannot_be_written(
    market: Callable[..., Said], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    status, _, err = market("new", *words)
    assert status == 2
    assert err.startswith(f"bench: {said}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(market: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("precious", encoding="utf-8")
    status, _, err = market("new", "mine.toml")
    assert status == 2
    assert err == "bench: mine.toml: is there already; name another file, or remove it first\n"
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_not_there(market: Callable[..., Said]) -> None:
    status, _, err = market("new", "nowhere/mine.toml")
    assert status == 7
    assert err.startswith("bench: nowhere/mine.toml: cannot be written: No such file")


def test_a_missing_word_is_one_line(market: Callable[..., Said]) -> None:
    status, _, err = market()
    assert (status, err) == (2, "bench: Missing command. (see bench market --help)\n")


# The documentation

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"


def test_the_documented_file_is_a_market(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (text,) = [block for block in blocks if block.startswith('name = "mine"')]
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    mine, default = load_market(str(tmp_path / "mine.toml")), load_market("default")
    assert mine.btc_usd.value == 91000
    assert mine.rents[0].tier == "own contract"
    assert mine.rents[1].usd_per_s.value == pytest.approx(0.8 * default.rents[0].usd_per_s.value)


def test_the_documentation_has_every_market_and_every_flag() -> None:
    first = re.findall(r"^\| `([\w-]+)` \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert first[: len(FLAGS)] == list(FLAGS)
    assert sorted(first[len(FLAGS) :]) == names("markets")

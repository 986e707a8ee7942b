"""``bench verdict``: stored runs judged again, in-process."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run

Judged = Callable[..., dict[str, Any]]
SETS = {
    "rent price": "rent",
    "token price": "token",
    "BTC price": "btc",
    "power price": "power",
    "hours served": "served",
    "hours rented": "rented",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert run(["all", "--device", "sim:h100", "--seed", "3", "--out", str(out)]) == 0
    return next(out.glob("*.json"))


@pytest.fixture
def judged(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Judged:
    def call(*options: str) -> dict[str, Any]:
        out = tmp_path / "verdict.json"
        assert run(["verdict", str(stored), "--json", str(out), *options]) == 0
        capsys.readouterr()
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    return call


def test_the_same_market_gives_the_runs_own_verdict(judged: Judged, stored: Path) -> None:
    own = json.loads(stored.read_text())["verdict"]
    again = judged()["verdict"]
    assert again["options"] == own["options"]
    assert again["flips"] == own["flips"]


@pytest.mark.parametrize("start", [["token=0.3"], ["rent=20"], ["token=0.0001", "rent=0.01"]])
def test_one_percent_around_each_flip_another_option_leads(
    judged: Judged, start: list[str]
) -> None:
    decision = judged("--set", *start)["verdict"]
    flips = [flip for flip in decision["flips"] if flip["at"] is not None]
    assert len(flips) >= 4
    for flip in flips:
        around = []
        for factor in (0.99, 1.01):
            setting = f"{SETS[flip['what']]}={flip['at'] * factor!r}"
            around.append(judged("--set", *start, setting)["verdict"]["options"][0]["code"])
        assert around[0] != around[1], flip
        assert around[flip["direction"] == "above"] == flip["winner"]


def test_the_tables_each_have_one_boundary(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verdict", str(stored), "--flip", "utilisation,rent"]) == 0
    text = capsys.readouterr().out
    for title in (
        "Measured",
        "Uses of a paid kWh",
        "Strike prices",
        "Flips",
        "What moves",
        "Who",
        "Prices",
    ):
        lines = [line for line in text.splitlines() if line.startswith(title)]
        assert len(lines) == 1
        boundary = "board" if title == "Measured" else "facility"
        assert re.findall(r"boundary: (\w+)", lines[0]) == [boundary]
    assert text.count("boundary:") == 7
    assert "Exchange rate while busy: a token takes" in text


def test_a_bad_file_is_named_and_the_others_go_on(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    out = tmp_path / "all.json"
    assert run(["verdict", str(bad), str(stored), "--json", str(out)]) == 8
    assert "unreadable: " in capsys.readouterr().out
    assert [found["file"] for found in json.loads(out.read_text())] == [str(stored)]


def test_stale_prices_are_refused_when_strict(stored: Path) -> None:
    assert run(["verdict", str(stored), "--strict"]) == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--flip", "rent"], "--flip rent: name two inputs, such as utilisation,rent"),
        (["--flip", "rent,rent"], "--flip rent,rent: the two inputs must differ"),
        (["--flip", "rent,weather"], "no input is called weather"),
        (["--set", "token=0"], "--set: token: is 0"),
        (["--set", "token=nan"], "nan is not a number"),
        (["--market", "nowhere"], "profiles/markets: has no nowhere"),
        (["--asic", "ths=1"], "--asic: watts: is missing"),
    ],
)
def test_bad_usage_is_one_line(
    stored: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(["verdict", str(stored), *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_another_market_is_another_answer(judged: Judged) -> None:
    assert judged("--set", "token=5")["verdict"]["code"] == "SERVE"
    assert judged("--set", "rent=20")["verdict"]["code"] == "RENT"
    slump = judged("--market", "ai-slump")
    assert slump["market"]["name"] == "ai-slump"


def test_exports_carry_the_answer_and_whose_it_is(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A simulated run is never robust, and each table that travels alone says whose it is."""
    files = {form: tmp_path / f"verdict.{form}" for form in ("csv", "markdown", "html", "xlsx")}
    asked = [word for form, path in files.items() for word in (f"--{form}", str(path))]
    assert run(["verdict", str(stored), "--set", "token=5", *asked]) == 0
    assert "SIMULATED: " in capsys.readouterr().out
    for form in ("csv", "markdown", "html"):
        text = files[form].read_text()
        assert "SERVE (leaning, P 1.00)" in text.replace("\\", "")
        captions = re.findall(r"boundary: \w+", text)
        assert len(captions) == 7
        assert text.count(stored.stem.replace("-", "\\-" if form == "markdown" else "-")) >= 7
    assert files["xlsx"].read_bytes().startswith(b"PK")


def test_ones_own_asic_stands_beside(judged: Judged) -> None:
    decision = judged("--asic", "ths=200,watts=3500")["verdict"]
    assert [found["role"] for found in decision["references"]] == ["best", "median", "user"]

"""``bench site --facts``: tables, files, refusals, the page that shows it. Takes four seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.catalogue import ProfileError
from bench.catalogue.rooms import root as profiles
from bench.catalogue.site import load_site
from bench.cli import run
from bench.economics.printed import reproduced
from bench.report.exports import to_markdown
from bench.report.published import printed_beside

PAGE = Path(__file__).parents[2] / "docs" / "site.md"
BOUNDARIES = [
    "facility",
    "facility",
    "facility",
    "wall",
    "wall",
    "wall",
    "facility",
    "wall",
    "wall",
]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")


def tables(out: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(out)["tables"]
    return found


def rows_of(out: str, title: str) -> dict[str, dict[str, float]]:
    """The rows of a table by their first cell."""
    (table,) = (each for each in json.loads(out)["tables"] if each["title"].startswith(title))
    return {next(iter(row.values())): row for row in table["rows"]}


def own_site(tmp_path: Path, old: str, new: str) -> Path:
    text = (profiles() / "sites" / "default.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_the_facts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--facts"]) == 0
    out = capsys.readouterr().out
    assert [line.count("(boundary: ") for line in out.splitlines()].count(1) == len(BOUNDARIES)
    assert "mine: Antminer S23 Hyd" in out
    assert "STALE: ASICs of 2025-06" in out
    for source in ("bt-miners.com", "JLL Q1 2026", "Sabre56", "Antpool's list"):
        assert source in out


def test_no_word_is_broken_at_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["site", "--facts", "--json", "-"]) == 0
    wanted = {
        word
        for table in tables(capsys.readouterr().out)
        for row in table["rows"]  # type: ignore[attr-defined]
        for key, cell in row.items()
        if isinstance(cell, str) and key not in {"as_of", "flag"}  # left out where narrow
        for word in cell.split()
    }
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["site", "--facts"]) == 0
    assert wanted <= set(capsys.readouterr().out.split())


def test_the_inputs_of_mining_stand_below_every_table_that_uses_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["site", "--facts", "--json", "-"]) == 0
    notes = {table["title"]: str(table["notes"]) for table in tables(capsys.readouterr().out)}
    for title in ("Mining at default", "Exchange rate", "Network of"):
        (said,) = (text for name, text in notes.items() if str(name).startswith(title))
        assert "pool fee 1.9 (1.9 to 4) %" in said
        assert "PUE of mining 1.03" in said
        assert ("power 0.081" in said) == (title != "Exchange rate")


def test_json_holds_every_table_with_one_boundary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--facts", "--json", "-"]) == 0
    captured = capsys.readouterr()
    found = tables(captured.out)
    assert [table["boundary"] for table in found] == BOUNDARIES
    assert "boundary: facility" in captured.err
    shells = rows_of(captured.out, "Published figures")
    assert shells["power missing in the US by 2028"]["ours"] == 44
    assert shells["shell equity, hyperscaler"]["agrees"] == "no"
    assert shells["shell equity, neocloud"]["agrees"] == "within range"
    assert shells["network power"]["agrees"] == "implied"
    assert shells["shell equity, neocloud"]["published"] == 7.81
    plates = rows_of(captured.out, "Machines by nameplate")
    assert plates["Antminer S21"]["mw_per_ehs"] == pytest.approx(17.5)
    assert plates["Antminer S21"]["ehs_per_100mw"] == pytest.approx(100 / 17.5)
    assert "C" in str(plates["Antminer S21 Pro"]["flag"])
    assert plates["the network's fleet, implied"]["flag"] == "D/M"


def test_prices_that_are_set_move_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for extra in ([], ["--set", "power=0.04"], ["--set", "btc=120940"]):
        assert run(["site", "--facts", "--json", "-", *extra]) == 0
        found.append(rows_of(capsys.readouterr().out, "Mining at")["Antminer S21"])
    now, cheap, dear = found
    assert (now["runs"], cheap["runs"], dear["runs"]) == (False, True, True)
    assert dear["usd_per_mwh"] == pytest.approx(2 * now["usd_per_mwh"])
    assert cheap["shutdown"] == pytest.approx(now["shutdown"] * 0.04 / 0.081)


def test_files_hold_every_table(tmp_path: Path) -> None:
    csv, markdown = tmp_path / "site.csv", tmp_path / "site.md"
    assert run(["site", "--facts", "--csv", str(csv), "--markdown", str(markdown)]) == 0
    assert csv.read_text(encoding="utf-8").count("(boundary: ") == len(BOUNDARIES)
    assert "np.float64" not in csv.read_text(encoding="utf-8")
    assert markdown.read_text(encoding="utf-8").count("boundary: ") == len(BOUNDARIES)


def test_a_site_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half the power; what it does not say of deals and prints is the shipped default's."""
    path = own_site(tmp_path, "it = { value = 100,", "it = { value = 50,")
    path.write_text(path.read_text(encoding="utf-8").partition("[[deals]]")[0], encoding="utf-8")
    assert run(["site", "--facts", "--site", str(path), "--json", "-"]) == 0
    out = capsys.readouterr().out
    assert "Mining at default: 62.5 MW" in out
    assert len(rows_of(out, "Published contracts")) == 5
    assert len(rows_of(out, "Published figures")) == 19


def test_a_card_that_the_market_does_not_let_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_site(tmp_path, '"l40s"]', '"a10"]')
    assert run(["site", "--facts", "--site", str(path)]) == 0
    assert "a10 is left out: market default has no rent for it" in capsys.readouterr().out


def test_without_facts_the_help_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site"]) == 2
    err = capsys.readouterr().err
    assert "Usage: bench site" in err
    assert err.endswith("bench: bench site shows facts and decides nothing yet: add --facts\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--site", "nope"], "profiles/sites: has no nope"),
        (["--market", "nope"], "has no nope"),
        (["--set", "power=0"], "power: is 0, not more than"),
        (["--set", "power=-1"], "power: is -1"),
        (["--set", "power=nan"], "nan is not a number"),
        (["--set", "btc=1e308"], "btc: is 1e+308, more than"),
        (["--set", "rent=3"], "rent: belongs to one card"),
        (["--set", "token=3"], "token: belongs to one model"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["site", "--facts", *arguments]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--json", "--csv", "--markdown"])
def test_a_file_that_cannot_be_written(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["site", "--facts", option, str(tmp_path / "none" / "x")]) == 7
    said = capsys.readouterr().err
    assert option in said
    assert "name another file" in said


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("it = { value = 100,", "it = { value = 0,", "site.it.value: is 0, not more than"),
        ("pue = { value = 1.25,", "pue = { value = 0.9,", "site.pue.value: is 0.9"),
        ("cap_rate = { value = 0.075,", "cap_rate = { value = 0.0,", "lease.cap_rate.value"),
        ('unit = "USD/W"', 'unit = "USD/kW"', "is USD/kW, not USD/W"),
        ("[lease]", "[lease]\nrate = 1", "lease.rate: is not a known key"),
        ('as_of = "2025-08-14"', 'as_of = "soon"', "is not a date"),
        ("gap = { value = 45", "gap = { value = 90", "does not hold the value"),
    ],
)
def test_a_broken_site_is_refused(tmp_path: Path, old: str, new: str, line: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load_site(str(own_site(tmp_path, old, new)))
    assert line in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_the_page_shows_what_the_program_prints() -> None:
    site = load_site("default")
    shown = to_markdown(printed_beside(site, reproduced(site))).partition("\n\n- ")[0]
    assert shown in PAGE.read_text(encoding="utf-8")

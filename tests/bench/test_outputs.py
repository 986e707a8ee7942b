"""What a command writes never takes the place of what it reads, nor of what it has just written."""

import json
from pathlib import Path

import pytest

from bench.cli import run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert run(["all", "--device", "sim:h100", "--grade", "quick", "--out", str(out)]) == 0
    return next(out.glob("*.json"))


@pytest.mark.parametrize(
    "command",
    [
        ["verdict", "FILE", "--json", "FILE"],
        ["verdict", "FILE", "--csv", "FILE"],
        ["skus", "FILE", "--html", "FILE"],
        ["verify", "FILE", "--json", "FILE"],
        ["verdict", "FILE", "--csv", "LINK"],
    ],
)
def test_an_input_is_never_overwritten(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    before = stored.read_bytes()
    link = tmp_path / "link.json"
    link.symlink_to(stored)
    places = {"FILE": str(stored), "LINK": str(link)}
    capsys.readouterr()
    assert run([places.get(word, word) for word in command]) == 2
    assert capsys.readouterr().err.endswith(": is an input too; name another file\n")
    assert stored.read_bytes() == before


def test_a_market_file_is_an_input(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = tmp_path / "mine.toml"
    assert run(["market", "new", str(market), "--set", "power=0.05"]) == 0
    before = market.read_bytes()
    asked = ["verdict", str(stored), "--market", str(market), "--markdown", str(market)]
    assert run(asked) == 2
    assert "is an input too" in capsys.readouterr().err
    assert market.read_bytes() == before


def test_two_outputs_need_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "site")
    assert run(["site", "--facts", "--csv", place, "--markdown", place]) == 2
    assert "is the file of --csv too; name another file" in capsys.readouterr().err
    assert not Path(place).exists()
    assert run(["site", "--facts", "--csv", "-"]) == 2
    assert "--csv -: only --json writes to stdout" in capsys.readouterr().err


def test_where_nothing_could_be_judged_an_older_file_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(before := '{"schema": "joulemark/verdict/1"}')
    assert run(["verdict", str(tmp_path / "none.json"), "--json", str(kept)]) == 8
    assert kept.read_text() == before


@pytest.mark.parametrize(
    ("field", "number", "said"),
    [
        ("joules_per_unit", -1e-9, "is -1e-09, which no run can give"),
        ("joules_per_unit", 0.0, "is 0, which no run can give"),
        ("joules_per_unit", 1e-3, "contradicts watts over units_per_s"),
        ("units_per_s", 0.0, "is 0, which no run can give"),
        ("units_per_s", 1e308, "is 1e+308, which no run can give"),
        ("units_per_s", 1e-300, "is 1e-300, which no run can give"),
        ("watts", -5.0, "is -5, which no run can give"),
    ],
)
@pytest.mark.parametrize("command", ["verdict", "skus"])
def test_figures_that_no_run_can_have_are_not_read(  # noqa: PLR0917 - fixtures and cases
    stored: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    field: str,
    number: float,
    said: str,
    command: str,
) -> None:
    """The bad record is one line; the sound one beside it is still judged."""
    document = json.loads(stored.read_text())
    document["workloads"][0]["metrics"][field] = {"mid": number, "lo": number, "hi": number, "n": 4}
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    capsys.readouterr()
    assert run([command, str(bad), str(stored)]) == 8
    out = capsys.readouterr().out
    assert f"unreadable: {bad}: workloads.0.metrics.{field} {said}" in out.replace("\n", " ")
    assert "(boundary: facility)" in out


def test_a_price_from_the_future_is_refused(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = tmp_path / "mine.toml"
    assert run(["market", "new", str(market), "--set", "btc=60470"]) == 0
    text = market.read_text()
    year = text.partition('as_of = "')[2][:4]
    for ahead in ("2062", "9999"):
        market.write_text(text.replace(f'as_of = "{year}', f'as_of = "{ahead}'))
        capsys.readouterr()
        assert run(["verdict", str(stored), "--market", str(market)]) == 2
        assert "which is still to come; correct as_of" in capsys.readouterr().err


def test_a_machine_of_kilowatts_typed_as_watts_is_refused(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verdict", str(stored), "--asic", "ths=200,watts=3.5"]) == 2
    assert "no machine is below 1; give TH/s, and watts (not kW)" in capsys.readouterr().err
    assert run(["verdict", str(stored), "--asic", "ths=200,ths=100,watts=3500"]) == 2
    assert "gives a figure twice" in capsys.readouterr().err

"""The files of ``bench compare``: live formulas, hostile names, money. About 8 s."""

import csv
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Called = Callable[..., tuple[int, str, str]]
Changed = Callable[..., Path]


def money(compared: Called, tmp_path: Path, *arguments: object) -> list[list[str]]:
    """The rows of the money table of a CSV."""
    out = tmp_path / "money.csv"
    assert compared(*arguments, "--csv", out)[0] == 0
    lines = out.read_text(encoding="utf-8").split("# Money", 1)[1].splitlines()[1:]
    return list(csv.reader(line for line in lines if re.match(r"(card|sim:\w+),", line)))


def edited(book: Path, cells: dict[str, float], out: Path) -> None:
    """The workbook with prices typed over by the name in their first column, and no results."""
    with zipfile.ZipFile(book) as inside:
        parts = {name: inside.read(name) for name in inside.namelist()}
    texts = re.findall(r"<si><t[^>]*>(.*?)</t></si>", parts["xl/sharedStrings.xml"].decode())
    sheets = sorted(name for name in parts if name.startswith("xl/worksheets/sheet"))
    for name in sheets:
        xml = re.sub(r"(</f>)<v>[^<]*</v>", r"\1", parts[name].decode())
        if name == sheets[-1]:
            for what, value in cells.items():
                (row,) = re.findall(rf'<c r="A(\d+)" t="s"><v>{texts.index(what)}</v>', xml)
                xml, count = re.subn(rf'(<c r="B{row}"[^>]*><v>)[^<]*', rf"\g<1>{value!r}", xml)
                assert count == 1, what
        parts[name] = xml.encode()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in parts.items():
            made.writestr(name, data)


def formulas(book: Path) -> dict[str, dict[str, str | float]]:
    """Formula or number of every cell, by worksheet."""
    found: dict[str, dict[str, str | float]] = {}
    with zipfile.ZipFile(book) as inside:
        names = re.findall(r'<sheet name="([^"]+)"', inside.read("xl/workbook.xml").decode())
        for number, name in enumerate(names, 1):
            xml = inside.read(f"xl/worksheets/sheet{number}.xml").decode()
            cells = re.findall(
                r'<c r="([A-Z]+\d+)"( s="\d+")?>(?:<f>(.*?)</f>)?(?:<v>(.*?)</v>)?', xml
            )
            found[name] = {
                at: text or float(value) for at, _, text, value in cells if text or value
            }
    return found


def computed(sheets: dict[str, dict[str, str | float]], name: str, at: str) -> float:
    """The value of a cell, its formula worked out: the four operations and powers."""
    cell = sheets[name][at]
    if isinstance(cell, float):
        return cell

    def inner(found: re.Match[str]) -> str:
        return repr(computed(sheets, found[1] or name, found[2].replace("$", "")))

    plain = re.sub(r"(?:(\w+)!)?(\$?[A-Z]+\$?\d+)(?![\d.])", inner, cell.replace("E+", "e+"))
    assert re.fullmatch(r"[-+*/()^.\de ]+", plain), plain
    return float(eval(plain.replace("^", "**")))


PRICES = {
    "power price": 0.2,
    "BTC price": 1e5,
    "rent of h100": 3.5,
    "8b tokens in": 0.11,
    "8b tokens out": 0.11,
    "hours served": 0.25,
    "PUE": 1.5,
}
SETS = ["power=0.2", "btc=1e5", "rent=3.5", "token=0.11", "served=0.25", "pue=1.5"]
LIVE = range(9, 14)
"""The money columns that are formulas: USD/kWh and USD/h."""


def test_formulas_give_our_own_figures_also_after_prices_were_changed(
    compared: Called, two: tuple[Path, Path], tmp_path: Path
) -> None:
    book, typed = tmp_path / "c.xlsx", tmp_path / "typed.xlsx"
    assert compared(two[0], "--xlsx", book)[0] == 0
    edited(book, PRICES, typed)
    for path, sets in ((book, []), (typed, [each for s in SETS for each in ("--set", s)])):
        head, *rows = money(compared, tmp_path, two[0], *sets)
        assert [head[k] for k in LIVE][:2] == ["earns [USD/kWh]", "less power [USD/kWh]"]
        assert [row[1] for row in rows] == ["MINE", "SERVE", "RENT"]
        sheets = formulas(path)
        for line, row in enumerate(rows, 3):
            for place in LIVE:
                got = computed(sheets, "money", f"{chr(65 + place)}{line}")
                assert got == pytest.approx(float(row[place]), rel=1e-9), (row[1], head[place])


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_recalculates_to_our_own_figures(
    compared: Called, two: tuple[Path, Path], tmp_path: Path
) -> None:
    book, typed = tmp_path / "c.xlsx", tmp_path / "typed.xlsx"
    assert compared(two[0], "--xlsx", book)[0] == 0
    edited(book, PRICES, typed)
    every = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1"
    home = f"-env:UserInstallation=file://{tmp_path}/office"
    command = ["soffice", "--headless", home, "--convert-to", every, "--outdir", str(tmp_path)]
    subprocess.run([*command, str(typed)], check=True, capture_output=True, timeout=120)
    lines = (tmp_path / "typed-money.csv").read_text(encoding="utf-8").splitlines()
    found = list(csv.reader(line for line in lines if "sim:h100" in line))
    sets = [each for s in SETS for each in ("--set", s)]
    _, *rows = money(compared, tmp_path, two[0], *sets)
    assert len(found) == len(rows) == 3
    for got, row in zip(found, rows, strict=True):
        assert [float(got[k]) for k in LIVE] == pytest.approx(
            [float(row[k]) for k in LIVE], rel=1e-9
        )


def test_a_hostile_name_is_text_everywhere(
    compared: Called, two: tuple[Path, Path], changed: Changed, tmp_path: Path
) -> None:
    name = '=HYPERLINK("http://x","y")'
    book, lines, page = (tmp_path / each for each in ("c.xlsx", "c.csv", "c.html"))
    other = changed(two[1], lambda r: r["device"].update(name=name, uuid="GPU-1"))
    given = ("--xlsx", book, "--csv", lines, "--html", page)
    assert compared(two[0], other, *given)[0] == 0
    with zipfile.ZipFile(book) as inside:
        sheets = "".join(
            inside.read(each).decode() for each in inside.namelist() if "worksheets/" in each
        )
        assert "HYPERLINK" not in sheets
        assert name.replace('"', "&quot;") in inside.read("xl/sharedStrings.xml").decode().replace(
            '"', "&quot;"
        )
    assert "'=HYPERLINK" in lines.read_text(encoding="utf-8")
    assert "=HYPERLINK(&quot;" in page.read_text(encoding="utf-8")


def test_without_a_price_there_is_no_money_for_tokens(
    compared: Called, two: tuple[Path, Path], changed: Changed, tmp_path: Path
) -> None:
    def other(record: dict[str, Any]) -> None:
        record["profiles"]["model"]["model_id"] = None

    _, *rows = money(compared, tmp_path, changed(two[0], other))
    (serve,) = (row for row in rows if row[1] == "SERVE")
    assert [serve[k] for k in LIVE] == [""] * len(LIVE)
    _, shown, _ = compared(changed(two[0], other))
    assert "SERVE: its tokens have no price in this market" in shown

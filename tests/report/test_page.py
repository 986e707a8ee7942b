"""One page of stored runs: all parts there, nothing foreign runs, what is vendored is as stated."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from bench.records.run import Code, Validity
from bench.report.dossier import NO_JOURNAL, dossier
from bench.report.page import SCRIPTS, advice, asset, render
from bench.report.text import per_unit

HOSTILE = "<img src=x onerror=alert(1)>"
BREAKING = "</script><script>alert(2)</script><!-- {{ 7*7 }}"
ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `([A-Z_]+)` \| [^|]* \| .+? \| ([^|]+) \|$", re.MULTILINE)


@pytest.fixture(scope="session")
def page(record, book):
    return render([dossier(record, book)])


def test_all_parts_are_there(page, record):
    keys = re.findall(r'<section id="run-1-(\w+)"', page)
    assert keys == [
        "measured",
        "uses",
        "ladder",
        "flips",
        "swings",
        "prices",
        "trust",
        "power",
        "blocks",
        "limits",
        "budget",
        "provenance",
    ]
    assert record.verdict.sentence in html.unescape(page)
    energy = per_unit(record.workloads[0].metrics.joules_per_unit.mid, "hash")
    for fact in (record.journal_sha256, record.run_id, record.software.python, energy):
        assert fact in page
    for age in record.verdict.ages:
        assert f"age of {age.what}" in page
    for code in record.validity.codes:
        assert f"<strong>{code.name}</strong>" in page


def test_a_standard_run_fits_into_a_megabyte(page):
    assert len(page.encode()) <= 1_000_000


def test_the_policy_allows_the_pages_own_code_and_no_network(page):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    inside = [*re.findall(r"<script>(.*?)</script>", page, re.S)]
    inside += re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(inside) == len(SCRIPTS) + 1
    for text in inside:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(
        r"\s(?:style|on\w+|src)=[\"']", re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    )


def test_foreign_text_stays_text(record, book):
    codes = (Code("UNRANKED", BREAKING, False),)
    bad = replace(
        record,
        device=replace(record.device, name=HOSTILE, driver=BREAKING),
        validity=Validity("labelled", codes),
        workloads=tuple(replace(w, name=BREAKING) for w in record.workloads),
        market=replace(record.market, title=HOSTILE + "\x1b[31m\u202e"),
    )
    page = render([dossier(bad, book)])
    assert HOSTILE not in page
    assert "alert(2)</script>" not in page
    assert html.escape(HOSTILE) in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("<script") == len(SCRIPTS) + page.count('<script type="application/json">')


def test_chart_data_are_the_tables_rows(page, record, book):
    found = [
        json.loads(text)
        for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    ]
    figures = [figure for part in dossier(record, book).sections for figure in part.figures]
    assert [each["kind"] for each in found] == [figure.kind for figure in figures]
    assert len(figures) >= 9
    for each, figure in zip(found, figures, strict=True):
        for name, sheet in figure.sheets.items():
            assert [list(row.values()) for row in each[name]] == [list(row) for row in sheet.rows]


def test_no_journal_is_said_and_the_rest_stands(record):
    page = render([dossier(record, None)])
    assert NO_JOURNAL in html.unescape(page)
    assert '"kind":"trace"' not in page
    assert '"kind":"blocks"' in page


def test_an_undecided_run_shows_its_codes_and_no_money(record, book):
    gone = replace(
        record,
        workloads=(),
        verdict=replace(
            record.verdict, code="UNDECIDED", options=(), ladder=(), flips=(), swings=()
        ),
    )
    page = render([dossier(gone, book)])
    keys = re.findall(r'<section id="run-1-(\w+)"', page)
    assert keys == ["trust", "power", "provenance"]


def test_runs_share_a_page_and_no_name(record, book):
    page = render([dossier(record, book), dossier(record, None)])
    names = re.findall(r'\sid="([^"]+)"', re.sub(r"<script>.*?</script>", "", page, flags=re.S))
    assert len(names) == len(set(names))
    assert 'href="#run-2"' in page


def test_advice_is_the_documentations():
    rows = dict(ROW.findall((ROOT / "docs/validity.md").read_text(encoding="utf-8")))
    assert advice() == {name: text.strip() for name, text in rows.items()}


def test_vendored_code_is_as_its_list_says():
    listed = json.loads(asset("vendored.json"))
    assets = files("bench.report").joinpath("assets")
    assert {each["file"] for each in listed} == {n for n in SCRIPTS if n.endswith(".min.js")}
    for each in listed:
        data = assets.joinpath(each["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == each["sha256"]
        assert f"v{each['version']}".encode() in data[:200]
        assert f"{each['package']} {each['version']} ({each['licence']})" in asset("LICENSES.txt")


def test_the_licences_travel_with_the_code(page):
    assert html.escape("Copyright 2020-2025 Observable, Inc.") in page
    assert "Permission to use, copy, modify" in page

"""The page in a real browser, offline: no request, no error, marks are rows, usable by all.

Screenshots go to the folder that JOULEMARK_SCREENSHOTS names, else to pytest's own.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.records.run import Code, Validity
from bench.report.dossier import dossier
from bench.report.page import render

HOSTILE = "<img src=x onerror=alert(1)>"
DRAWN_BY = {"factors": "away", "tornado": "what", "bars": "share", "blocks": "each"}
COUNT = "(el, name) => el.querySelectorAll(`.mark-${name} > *`).length"
VERTICES = "el => el.querySelector('.mark-points path').getAttribute('d').split(/[ML]/).length - 1"
FEWER_ROWS = "document.querySelectorAll('.long tr:nth-child(n+6)').forEach(row => row.remove())"
"""All rows of a table are alike; axe takes long over thousands."""
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("there is no Chromium (Debian: apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def hostile(record, book):
    """The run as it would be of a card whose name is an attack, measured shares of roofs too."""
    roofs = {"mfu": 0.1, "mbu_useful": 0.6, "mbu_moved": 0.7, "roofline_fraction": 0.65}
    peaks = {"read_bytes_per_s": 3e12, "flops": 9e14, "least_s": 1e-4}
    hashes, tokens = record.workloads
    metrics = replace(tokens.metrics, roofs={"measured": {**roofs, **peaks}, "datasheet": None})
    codes = (*record.validity.codes, Code("THROTTLED", f"{HOSTILE}</script>", True))
    named = replace(
        record,
        device=replace(record.device, name=HOSTILE),
        workloads=(hashes, replace(tokens, metrics=metrics)),
        validity=Validity("invalid", codes),
    )
    return dossier(named, book)


@pytest.fixture(scope="module")
def opened(chromium, hostile, tmp_path_factory):
    """The page as opened offline, and all that it asked for and complained of."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render([hostile]), encoding="utf-8")
    context = chromium.new_context(offline=True, viewport={"width": 1100, "height": 900})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.goto(file.as_uri())
    yield page, asked, said
    context.close()


def test_it_opens_offline_without_a_request_or_a_complaint(opened):
    page, asked, said = opened
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function("document.querySelector('.plot svg').getAttribute('width') < 500")
    page.set_viewport_size({"width": 1100, "height": 900})
    page.wait_for_function("document.querySelector('.plot svg').getAttribute('width') > 900")
    assert asked == [page.url]
    assert said == []


def test_a_hostile_name_is_text(opened):
    page, _, _ = opened
    assert page.locator("h2").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert HOSTILE in page.title()


def test_marks_are_rows(opened, hostile):
    page, _, _ = opened
    figures = [figure for section in hostile.sections for figure in section.figures]
    assert {figure.kind for figure in figures} == {
        "trace", "blocks", "ranges", "factors", "tornado", "bars", "roofline",
    }  # fmt: skip
    shown = page.locator("figure.chart")
    assert shown.count() == len(figures)
    for place, figure in enumerate(figures):
        chart = shown.nth(place)
        for name, sheet in figure.sheets.items():
            table = chart.locator(f"details[data-rows={name}] tbody tr")
            assert table.count() == len(sheet.rows) > 0
        if figure.kind == "trace":
            assert chart.evaluate(VERTICES) == len(figure.sheets["points"].rows)
            assert chart.evaluate(COUNT, "spans") == len(figure.sheets["spans"].rows)
            continue
        key = figure.options.get("mid") or DRAWN_BY.get(figure.kind, "intensity")
        drawn = [row for row in figure.data["rows"] if row[key] is not None]
        assert chart.evaluate(COUNT, "rows") == len(drawn) > 0


def test_throttle_marks_are_the_tables_rows(chromium, stored, tmp_path):
    from bench.book import open_book
    from bench.records.journal import Sample
    from bench.report.figures import power
    from bench.store import find_journal, load, load_journal

    record = load(stored)
    facts = load_journal(find_journal(stored, record.run_id))
    facts += [Sample(t_s, "throttle_thermal_s", t_s / 100) for t_s in (100.0, 200.0, 300.0)]
    figure = power(record, open_book(facts))
    assert len(figure.sheets["throttles"].rows) == 3
    file = tmp_path / "throttled.html"
    file.write_text(render([dossier(record, open_book(facts))]), encoding="utf-8")
    page = chromium.new_page()
    page.goto(file.as_uri())
    chart = page.locator("figure.chart").filter(has_text="Watts as read")
    assert chart.evaluate(COUNT, "throttles") == 3
    page.close()


def test_axe_finds_nothing_serious(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened[0].context.new_page()
    page.goto(opened[0].url)
    page.evaluate(FEWER_ROWS)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    light = axe.run(page).response
    page.emulate_media(color_scheme="dark")
    dark = axe.run(page, options={"runOnly": ["color-contrast"]}).response
    page.close()
    assert len(light["passes"]) > 15
    assert [each["id"] for each in dark["passes"]] == ["color-contrast"]
    found = [*light["violations"], *dark["violations"]]
    serious = [each for each in found if each["impact"] in SERIOUS]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []


def test_a_keyboard_reaches_the_report_and_its_tables(opened):
    page, _, _ = opened
    fresh = page.context.new_page()
    fresh.goto(page.url)
    fresh.keyboard.press("Tab")
    skip = fresh.locator(":focus")
    assert skip.inner_text() == "Skip to the report"
    assert skip.bounding_box()["x"] >= 0
    fresh.keyboard.press("Enter")
    assert fresh.evaluate("document.activeElement.tagName") == "MAIN"
    folded = fresh.locator("details:not([open]) summary").first
    folded.focus()
    handle = folded.element_handle()
    fresh.keyboard.press("Enter")
    assert handle.evaluate("summary => summary.parentElement.open")
    fresh.close()


def test_a_screen_reader_is_told_what_each_chart_shows(opened, hostile):
    page, _, _ = opened
    figures = [figure for section in hostile.sections for figure in section.figures]
    for place, figure in enumerate(figures):
        drawing = page.locator("figure.chart").nth(place).locator("svg[role=img]")
        assert drawing.get_attribute("aria-label") == figure.title
        assert drawing.get_attribute("aria-description") == figure.about
    assert page.locator("main").count() == page.locator("h1").count() == 1
    assert page.locator("table").count() == page.locator("table > caption").count()


def test_it_is_seen_in_light_dark_and_print(opened, tmp_path):
    page, _, _ = opened
    folder = Path(os.environ.get("JOULEMARK_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    papers = {}
    for name, media in {
        "light": {"color_scheme": "light", "media": "screen"},
        "dark": {"color_scheme": "dark", "media": "screen"},
        "print": {"color_scheme": "dark", "media": "print"},
    }.items():
        page.emulate_media(**media)
        page.screenshot(path=folder / f"report-{name}.png", full_page=True)
        papers[name] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert papers == {
        "light": "rgb(255, 255, 255)",
        "dark": "rgb(20, 23, 26)",
        "print": "rgb(255, 255, 255)",
    }
    assert not page.locator("nav").first.is_visible()
    page.pdf(path=folder / "report-print.pdf", format="A4")
    assert all(file.stat().st_size > 50_000 for file in folder.glob("report-*"))
    page.emulate_media(color_scheme="light", media="screen")

"""The end of a run as a person reads it, from real (simulated) records."""

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import run
from bench.report import summary
from bench.store import load


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    assert run(["all", "--device", "sim:h100", "--out", str(place)]) == 0
    (path,) = place.glob("*.json")
    return load(path)


def text_of(record, width):
    console = Console(record=True, width=width, force_terminal=False)
    summary.show(record, Path("results/x.json"), console)
    return console.export_text()


@pytest.fixture
def shown(record):
    return lambda width, **changes: text_of(dataclasses.replace(record, **changes), width)


def test_wide_is_a_row_a_workload_a_row_a_use_and_the_verdict(shown, record):
    text = shown(200)
    rows = [row for row in text.splitlines() if row.startswith(("sha256d", "serve"))]
    assert len(rows) == 2
    assert all("simulated" in row and "±" in row and "×" in row for row in rows)
    for option in record.verdict.options:
        assert any(row.startswith(option.code) for row in text.splitlines())
    assert record.verdict.sentence in text
    assert "Saved results/x.json" in text
    assert "SIMULATED" in text


def test_each_table_has_one_boundary(shown):
    text = shown(200)
    captions = [line for line in text.splitlines() if "boundary:" in line]
    assert [line.partition("boundary: ")[2] for line in captions] == ["board)", "facility)"]


def test_narrow_is_turned_and_loses_nothing(shown):
    text = shown(80)
    assert "…" not in text.partition("SIMULATED")[0]
    for heading in ("rate", "power", "energy/unit", "wall factor", "run", "RENT", "SERVE", "OFF"):
        assert any(line.startswith(heading) for line in text.splitlines())


def test_a_hostile_device_name_stays_text(shown, record):
    workloads = (dataclasses.replace(record.workloads[0], backend="\x1b[31m[bold]cupy"),)
    text = shown(200, workloads=workloads)
    assert "\x1b" not in text
    assert "[bold]cupy" in text


def test_a_run_without_workloads_still_ends_in_a_verdict(shown, record):
    assert record.verdict.sentence in shown(80, workloads=())

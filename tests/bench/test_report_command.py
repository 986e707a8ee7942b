"""``bench report`` as a user meets it: where the page goes, what it refuses, its exit status."""

import gzip
import shutil
import sys

import pytest

from bench.cli import run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert run(["all", "--device", "sim:h100", "--grade", "quick", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def record(made, tmp_path):
    """A run of one's own: record and journal."""
    shutil.copytree(made, tmp_path / "runs")
    (found,) = (tmp_path / "runs").glob("*.json")
    return found


def journal_of(record):
    return record.with_name(f"{record.stem}.samples.jsonl.gz")


def test_the_page_lies_beside_the_record(record, capsys):
    assert run(["report", str(record)]) == 0
    page = record.with_suffix(".html")
    assert f"Saved {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert '"kind":"trace"' in text


def test_the_page_of_a_run_is_always_the_same(record, tmp_path):
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    assert [run(["report", str(record), "--html", str(page)]) for page in pages] == [0, 0]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_an_input_is_never_written_over(record, capsys):
    before = record.read_bytes()
    assert run(["report", str(record), "--html", str(record)]) == 2
    assert "is an input too; name another file" in capsys.readouterr().err
    page = record.with_suffix(".html")
    shutil.copy2(record, page)
    assert run(["report", str(page)]) == 2
    assert record.read_bytes() == page.read_bytes() == before


def test_a_bad_file_is_named_and_the_others_go_on(record, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    page = tmp_path / "page.html"
    assert run(["report", str(bad), str(record), "--html", str(page)]) == 8
    said = capsys.readouterr().out
    assert f"unreadable: {bad}" in said
    assert page.exists()
    page.unlink()
    assert run(["report", str(bad), "--html", str(page)]) == 8
    assert not page.exists()


def test_a_missing_journal_is_said(record, capsys):
    journal_of(record).unlink()
    assert run(["report", str(record)]) == 0
    assert "journal is not beside its record" in capsys.readouterr().out
    assert '"kind":"trace"' not in record.with_suffix(".html").read_text(encoding="utf-8")


def test_another_runs_journal_is_not_drawn(record, capsys):
    journal = journal_of(record)
    lines = gzip.decompress(journal.read_bytes()).splitlines(keepends=True)
    journal.write_bytes(gzip.compress(b"".join(lines[:-1])))
    assert run(["report", str(record)]) == 0
    assert "its sha256 differs" in capsys.readouterr().out
    assert '"kind":"trace"' not in record.with_suffix(".html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_refused(record, tmp_path, capsys):
    assert run(["report", str(record), "--html", str(tmp_path / "none" / "x.html")]) == 7
    assert "cannot be written; name another file" in capsys.readouterr().err


def test_without_jinja2_one_line_says_the_cure(record, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert run(["report", str(record)]) == 3
    said = capsys.readouterr().err
    assert said == 'bench: a report needs Jinja2: pip install "joulemark[report]"\n'
    assert not record.with_suffix(".html").exists()

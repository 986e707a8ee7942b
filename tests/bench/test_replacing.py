"""A file that an option has not written stays what it is; what it has written is replaced."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli import app, run
from bench.cli.audited import document
from bench.report.exports import to_xlsx
from bench.report.own import is_own
from bench.report.sheet import Column, Sheet

WRITING = frozenset({"--json", "--csv", "--markdown", "--html", "--xlsx", "--junit"})
SIM = ("--device", "sim:h100", "--grade", "quick")
WORDS: dict[str, tuple[str, ...]] = {
    "all": SIM,
    "calibrate": SIM[:2],
    "card": ("RECORD", "--price", "2.50", "--lease-term", "12mo", "--utilisation", "80%"),
    "compare": ("RECORD",),
    "data-power": ("--device", "cpu", "--grade", "quick"),
    "doctor": ("--profiles",),
    "gate": ("RECORD", "--baseline", "RECORD"),
    "hash": SIM,
    "infer": SIM,
    "migrate": ("FOLDER",),
    "recover": ("FOLDER",),
    "report": ("RECORD",),
    "run": ("--", "true"),
    "show": ("RECORD",),
    "site": ("--facts",),
    "sweep": (*SIM, "--power-limit", "300"),
    "verdict": ("RECORD",),
    "verify": ("RECORD",),
}
"""What a command needs beside the option."""
Call = Callable[..., tuple[int, str]]


def writing() -> Iterator[tuple[str, str]]:
    """Every command with each of its options that write a file."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, str]]:
        for key, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {key}".strip())
        for parameter in command.params:
            yield from ((name, option) for option in sorted(WRITING.intersection(parameter.opts)))

    return walk(typer.main.get_command(app), "")


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored_run: Path,
) -> Call:
    """Run a command line in a folder of its own: the exit status and what was complained of."""
    monkeypatch.chdir(tmp_path)
    for name in ("CACHE_HOME", "STATE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / "xdg"))
    (tmp_path / "xdg").mkdir()
    (tmp_path / "stored").mkdir()
    named = {"RECORD": str(stored_run), "FOLDER": "stored"}

    def called(command: str, *more: str) -> tuple[int, str]:
        words = [named.get(word, word) for word in WORDS.get(command, ())]
        split = words.index("--") if "--" in words else len(words)
        given = [*command.split(), *words[:split], *more, *words[split:]]
        status = run(given)
        return status, capsys.readouterr().err

    return called


@pytest.mark.parametrize(("command", "option"), [*writing()])
def test_no_option_of_any_command_replaces_a_foreign_file(
    call: Call, tmp_path: Path, command: str, option: str
) -> None:
    precious = tmp_path / "passwd"
    precious.write_text("root:x:0:0:root:/root:/bin/bash\n")
    status, err = call(command, option, str(precious))
    assert status == 2
    cure = f"holds what {option} did not write; remove it, or name another file"
    assert err == f"bench: {option} {precious}: {cure}\n"
    assert precious.read_text() == "root:x:0:0:root:/root:/bin/bash\n"
    assert {path.name for path in tmp_path.iterdir()} == {"passwd", "xdg", "stored"}


OUTPUTS = [
    *(pair for pair in writing() if pair[1] == "--json" and pair[0] != "audit"),
    ("site", "--csv"),
    ("site", "--markdown"),
    ("site", "--html"),
    ("site", "--xlsx"),
    ("gate", "--junit"),
    ("report", "--html"),
]


@pytest.mark.parametrize(("command", "option"), OUTPUTS)
def test_what_an_option_wrote_it_replaces(
    call: Call, tmp_path: Path, command: str, option: str
) -> None:
    more = ("--dry-run",) if command in {"all", "data-power", "hash", "infer", "sweep"} else ()
    file = tmp_path / "mine"
    file.touch()  # as mktemp leaves it
    first, err = call(command, *more, option, str(file))
    assert err.count("did not write") == 0, err
    written = file.read_bytes()
    assert written
    again, err = call(command, *more, option, str(file))
    assert (again, "did not write" in err) == (first, False), err
    assert len(file.read_bytes()) > 0.9 * len(written)


def workbook() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
        book.writestr("docProps/core.xml", "<dc:creator>me</dc:creator>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("json", b'{"name": "package", "schema": "joulemark/run/1"}'),
        ("json", b'{\n  "schema": "https://example.org/"}'),
        ("json", b"[1]"),
        ("csv", b"card,rate\nh100,1\n"),
        ("csv", b"# my notes\ncard,rate\n"),
        ("markdown", b"# Notes\n\n| a |\n| --- |\n"),
        ("html", b"<!DOCTYPE html>\n<html><title>joulemark</title></html>"),
        ("junit", b'<?xml version="1.0"?><testsuites name="pytest tests"></testsuites>'),
        ("xlsx", workbook()),
        ("xlsx", b"PK\x03\x04 cut short"),
        ("xlsx", b"card,rate\n"),
    ],
)
def test_the_same_form_from_elsewhere_is_foreign(tmp_path: Path, form: str, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert not is_own(form, file)


def test_a_workbook_in_which_prices_were_edited_is_still_ours(tmp_path: Path) -> None:
    sheet = Sheet("t", "board", (Column("a", "a"),), ((1.0,),))
    whole = to_xlsx(sheet)
    edited = tmp_path / "edited.xlsx"
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v>1</v>", b"<v>2</v>"))
    assert edited.read_bytes() != whole
    assert is_own("xlsx", edited)


def test_a_run_of_the_store_is_never_replaced_but_a_copy_by_another_name_is(
    stored_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run.json"
    copy.write_bytes(stored_run.read_bytes())
    assert not is_own("json", stored_run)
    assert is_own("json", copy)


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "html", "xlsx", "junit"])
def test_devices_and_pipes_hold_nothing_that_could_be_lost(tmp_path: Path, form: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_own(form, Path("/dev/null"))
    assert is_own(form, pipe)
    assert is_own(form, tmp_path / "none yet")


def test_every_json_says_what_it_is(call: Call, tmp_path: Path) -> None:
    audit = tmp_path / "audit.json"
    audit.write_text(document([]))  # compiling for cards takes tools that are not everywhere
    for command in ("market list", "market check"):
        assert call(command, "--json", str(tmp_path / f"{command}.json"))[0] == 0
    for file in tmp_path.glob("*.json"):
        assert json.loads(file.read_text())["schema"].startswith("joulemark/"), file
        assert is_own("json", file)

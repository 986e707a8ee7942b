"""docs/records.md names every field, kind, phase and event that a stored run may hold."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from bench.records.journal import KINDS, Field, Phase
from bench.records.record import RunRecord
from bench.records.run import Metrics, Window, WorkloadRecord

ROOT = Path(__file__).resolve().parents[2]
EVENT = re.compile(
    r'(?:\bEvent\(\s*[^"]*?,|_note\(|Notice\(|^LOST =|^TROUBLE =)\s*"([a-z_]+)"', re.MULTILINE
)


def written_events():
    sources = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    return {name for path in sources for name in EVENT.findall(path.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def named():
    text = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    return set(re.findall(r"`([a-z0-9_]+)`", text)) | set(re.findall(r"[{,] ?(\w+)", text))


def test_every_event_that_the_code_writes_is_described(named):
    events = written_events()
    assert {"opened", "prepared", "checks", "failed", "interrupted", "load", "xid"} <= events
    assert events - named == set()


@pytest.mark.parametrize("cls", [RunRecord, WorkloadRecord, Window, Metrics])
def test_every_field_of_the_record_is_described(named, cls):
    assert {field.name for field in fields(cls)} - named == set()


def test_every_kind_of_line_and_each_of_its_fields_is_described(named):
    assert {*KINDS, *get_args(Field), *get_args(Phase)} - named == set()
    assert {field.name for kind in KINDS.values() for field in fields(kind)} - named == set()

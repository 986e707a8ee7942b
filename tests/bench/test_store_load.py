"""Records and journals read back, and whatever else a file may hold, refused in one line."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

import bench.store.reading
from bench.records.journal import Event, Progress, Sample, Span
from bench.store import (
    BadRecord,
    Journal,
    find_journal,
    load,
    load_journal,
    read_journal,
    to_json,
)

FACTS = [
    Event(0.0, "opened", {"device": {"name": "µ"}}),
    Sample(1.0, "energy_j", 5.0),
    Progress(2.0, 7, "sha256d"),
    Span("idle", None, 0.0, 1.0),
]


def refused(path, reader=load):
    with pytest.raises(BadRecord) as caught:
        reader(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


def test_a_record_comes_back_as_it_was_written(stored_run):
    record = load(stored_run)
    assert to_json(record) == stored_run.read_text()
    assert record.run_id == stored_run.stem


def test_a_record_is_read_without_its_journal(stored_run, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_bytes(stored_run.read_bytes())
    assert load(alone).run_id == stored_run.stem
    assert find_journal(alone, stored_run.stem) is None


HOSTILE = {
    "": "no record",
    "junk": "no record",
    "[]": "not a JSON object",
    "{}": "schema",
    '{"schema": "joulemark/run/2"}': "joulemark/run/2; this version reads joulemark/run/1",
    '{"schema": ["joulemark/run/1"]}': "schema",
    '{"schema": "joulemark/run/1"}': "Field required",
    '{"a": NaN}': "NaN is not JSON",
    '{"a": -Infinity}': "-Infinity is not JSON",
    '{"a": 1e999}': "1e999 is beyond all numbers",
    '{"a": 99999999999999999999}': "beyond 64 bits",
    '{"a": ' + "9" * 5000 + "}": "no record",
    '{"a": 1, "a": 2}': 'the key "a" occurs twice',
    '{"a": {"b\\n": 1, "b\\n": 2}}': "occurs twice",
    '{"a": "\\ud800"}': "no record",
    "[" * 100_000: "nests deeper than 32",
    "[" * 40 + "]" * 40: "nests deeper than 32",
    '{"a":' * 100_000: "nests deeper than 32",
    "\ufeff{}": "no record",
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_hostile_json_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    assert HOSTILE[text] in str(refused(path))


def broken(document):
    document["workloads"][0]["metrics"]["watts"]["mid"] = "300"


FIELDS = {
    "workloads[0].metrics.watts.mid": broken,
    "run_id": lambda document: document.update(run_id="../../etc/passwd"),
    "finished_at": lambda document: document.update(finished_at="yesterday"),
    "started_at": lambda document: document.update(started_at="2026-11-22T15:01:02"),
    "plan.seed": lambda document: document["plan"].update(seed=1.5),
    "plan.extra": lambda document: document["plan"].update(extra=1),
    "workloads[1].windows[0].joules": lambda document: document["workloads"][1]["windows"][
        0
    ].update(joules=1),
    "verdict": lambda document: document.pop("verdict"),
    "verdict.code": lambda document: document["verdict"].update(code="HODL"),
    "idle.watts": lambda document: document["idle"]["watts"].update(lo=1e9),
    "market.btc_usd": lambda document: document["market"]["btc_usd"].update(low=1.0, high=None),
    "device.truth": lambda document: document["device"].update(truth=[]),
    "validity.codes[0].fatal": lambda document: document["validity"]["codes"][0].update(fatal=0),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_field_is_named(stored_run, tmp_path, field):
    document = json.loads(stored_run.read_text())
    FIELDS[field](document)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    assert refused(path).field == field


def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    fifo = tmp_path / "fifo.json"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero"), Path("/dev/null")):
        assert refused(path).why == "is not a file"
        assert refused(path, load_journal).why == "is not a file"
    assert "No such file" in refused(tmp_path / "none.json").why
    assert "null" in refused(tmp_path / "a\0b").why
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be opened" in refused(tmp_path / "loop").why


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b'{"schema": "\xff"}')
    assert "not UTF-8 text (byte 12)" in refused(path).why


def test_a_record_larger_than_any_is_refused(tmp_path):
    path = tmp_path / "run.json"
    with path.open("wb") as out:
        out.truncate(1 << 40)  # sparse
    assert "32 MiB" in refused(path).why


def write(path, facts):
    with Journal(path.parent, path.name.partition(".")[0]) as journal:
        for fact in facts:
            journal.append(fact)
    return journal


def test_a_journal_comes_back_plain_or_packed_with_its_hash(tmp_path):
    journal = write(tmp_path / "run-0001.samples.jsonl", FACTS)
    plain = read_journal(journal.path)
    assert plain.facts == FACTS == load_journal(journal.path)
    assert plain.sha256 == journal.sha256()
    assert find_journal(tmp_path / "run-0001.json", "run-0001") == journal.path
    packed = read_journal(journal.compress())
    assert (packed.facts, packed.sha256) == (plain.facts, plain.sha256)
    assert find_journal(tmp_path / "run-0001.json", "run-0001") == packed.path


def test_a_crash_costs_the_last_line_only(tmp_path):
    journal = write(tmp_path / "run-0001.samples.jsonl", FACTS)
    whole = journal.path.read_bytes()
    end = len(whole) - len(whole.splitlines()[-1]) - 1
    for cut in range(end, len(whole)):
        journal.path.write_bytes(whole[:cut])
        kept = FACTS if cut == len(whole) - 1 else FACTS[:-1]
        assert load_journal(journal.path) == kept


SAMPLE = b'{"kind": "sample", "t_s": 1.0, "field": "energy_j", "value": 5.0}\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\n", "Expecting value"),
        (b"{\n", "Expecting"),
        (b"[]\n", "not a JSON object"),
        (b"\xff\n", "utf-8"),
        (b'{"kind": ["sample"]}\n', "unknown kind"),
        (b'{"kind": "nonsense"}\n', "unknown kind"),
        (b'{"kind": "nonsense"}', "unknown kind"),
        (SAMPLE.replace(b"1.0", b"NaN"), "NaN is not JSON"),
        (SAMPLE.replace(b"1.0", b"1e999"), "beyond all numbers"),
        (SAMPLE.replace(b"1.0", b'"1.0"'), "t_s is not a finite number"),
        (SAMPLE.replace(b"1.0", b'1.0, "t_s": 2.0'), "occurs twice"),
        (SAMPLE.replace(b"energy_j", b"joules"), "field is none of"),
        (SAMPLE.replace(b"value", b"valeu"), "valeu is not a known field"),
        (b'{"kind": "event", "t_s": 1.0, "name": "x", "data": []}\n', "data is not an object"),
        (b'{"kind": "event", "t_s": 1.0, "name": "x", "data": ' + b"[" * 9999 + b"\n", "deeper"),
        (b'{"kind": "event", "t_s": 1.0, "name": "\\ud800", "data": {}}\n', "surrogates"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_malformed_line_is_named(tmp_path, line, said, pack):
    path = tmp_path / "x.samples.jsonl"
    path.write_bytes(pack(SAMPLE + line))
    error = refused(path, load_journal)
    assert error.field == "line 2"
    assert said in error.why


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "x.samples.jsonl.gz"
    whole = gzip.compress(SAMPLE * 100)
    for data in (whole[:-9], whole[:20], whole[:30] + b"\0\0\0" + whole[33:], whole + b"junk"):
        path.write_bytes(data)
        assert "cannot be read" in refused(path, load_journal).why


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "x.samples.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(64):
            out.write(b"\0" * (1 << 20))
    assert refused(path, load_journal).field == "line 1"
    monkeypatch.setattr(bench.store.reading, "MAX_JOURNAL_BYTES", 10_000)
    path.write_bytes(gzip.compress(SAMPLE * 1000))
    assert "more than" in refused(path, load_journal).why


def test_an_empty_journal_holds_nothing(tmp_path):
    path = tmp_path / "x.samples.jsonl"
    path.write_bytes(b"")
    assert load_journal(path) == []


def test_an_error_stays_one_short_line(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"schema": "joulemark/run/1" + "x\ny" * 5000}))
    error = refused(path)
    assert len(str(error)) < 1000
    assert re.search(r"give the RUN_ID\.json", error.cure)

import datetime as dt
import gzip
import json
import os
import subprocess
import sys

import pytest

from bench.records.journal import (
    ClockPair,
    Event,
    Progress,
    Sample,
    Share,
    Span,
    from_line,
    to_line,
)
from bench.store import (
    Busy,
    Journal,
    StoreError,
    device_lock,
    new_run_id,
    remember_setup,
    remembered_setup,
)

FACTS = [
    Sample(1.0, "energy_j", 5.0),
    Sample(1.0, "power_instant_w", 5.0, 0.9),
    Progress(2.0, 7, "sha256d"),
    Span("idle", None, 0.0, 1.0),
    Share("00" * 80, 3, 255),
    ClockPair(1.0, 2.0, 3.0),
    Event(1.0, "failed", {"workload": "decode"}),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_fact_survives_a_line():
    for fact in FACTS:
        assert from_line(json.loads(json.dumps(to_line(fact)))) == fact


@pytest.mark.parametrize(
    "line",
    [{}, {"kind": "nonsense"}, {"kind": "share", "nonce": 1}, {"kind": "sample", "x": 1}],
)
def test_a_malformed_line_is_refused(line):
    with pytest.raises(ValueError, match=r"unknown kind|malformed"):
        from_line(line)


def test_run_ids_sort_by_time_and_do_not_repeat():
    now = dt.datetime(2026, 11, 22, 15, 1, 2, tzinfo=dt.UTC)
    first, second = new_run_id(now), new_run_id(now)
    assert first.startswith("20261122t150102z-")
    assert first != second


def test_the_journal_is_on_disk_at_every_sync_and_packed_at_the_end(tmp_path):
    journal = Journal(tmp_path / "out", "run-0001")
    for fact in FACTS:
        journal.append(fact)
    journal.sync()
    lines = journal.path.read_text().splitlines()
    assert [from_line(json.loads(line)) for line in lines] == FACTS
    packed = journal.compress()
    assert gzip.decompress(packed.read_bytes()).decode().splitlines() == lines
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["run-0001.samples.jsonl.gz"]


def test_a_journal_is_never_overwritten(tmp_path):
    (tmp_path / "run-0001.samples.jsonl").touch()
    with pytest.raises(StoreError, match="--out"):
        Journal(tmp_path, "run-0001")


def test_a_journal_without_a_fact_leaves_no_file(tmp_path):
    with Journal(tmp_path, "run-0001"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Journal(tmp_path / "file" / "out", "run-0001")
    assert "\n" not in str(caught.value)


def test_one_run_at_a_time_per_device():
    with device_lock("GPU-1", wait=False), device_lock("GPU-2", wait=False):
        code = (
            "import sys\nfrom bench.store import Busy, device_lock\n"
            "try:\n    device_lock('GPU-1', wait=False).__enter__()\n"
            "except Busy as busy:\n    sys.exit(str(busy))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
    assert "GPU-1 is in use" in done.stderr
    assert done.returncode == 1
    with device_lock("GPU-1", wait=False):
        pass
    assert issubclass(Busy, Exception)


def test_a_first_set_up_says_nothing_of_the_next():
    assert remembered_setup() == {}
    remember_setup({"sha256d": 17.0}, {"sha256d": 2.0})
    assert remembered_setup() == {"sha256d": 2.0}
    remember_setup({"sha256d": 3.1}, {"sha256d": 2.0})
    assert remembered_setup() == {"sha256d": 3.1}

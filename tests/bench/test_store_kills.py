"""Killed runs, full disks and runs at the same time: no record is torn, lost or changed."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import run
from bench.cli.verifying import verify
from bench.store import Journal, device_lock, load, recover

KILLS = int(os.environ.get("JOULEMARK_KILLS", "25"))
SIMULATED = ("--device", "sim:h100", "--grade", "quick", "--seed", "1")
CONCURRENT = 8


@pytest.fixture
def journal(stored_run):
    return stored_run.with_name(f"{stored_run.stem}.samples.jsonl.gz")


def bench(*arguments):
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def test_a_run_killed_at_any_write_tears_and_loses_nothing(tmp_path, journal):
    script = Path(__file__).with_name("killing.py")
    command = [sys.executable, script, tmp_path / "out", journal, str(KILLS), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == KILLS
    assert (found["torn"], found["lost"], found["changed"]) == (0, 0, 0)
    assert found["committed"] > 1
    assert found["rebuilt"] > 0
    assert found["records"] == found["begun"] - found["empty"]
    assert found["verified"] == found["loaded"] == found["records"]


def test_a_whole_run_killed_at_a_block_is_recovered(tmp_path):
    command = bench("all", *SIMULATED, "--out", tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "block  2/4" in line:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    (journal,) = tmp_path.glob("*.jsonl")
    before = journal.read_bytes()
    found = recover(journal)
    assert found.outcome == "recovered"
    assert journal.read_bytes() == before
    record = load(found.record)
    assert record.validity.status == "incomplete"
    assert "INTERRUPTED" in {code.name for code in record.validity.codes}
    assert record.verdict.code == "UNDECIDED"
    assert verify(found.record).status == "verified"


class FullAt:
    """A disk that is full from the n-th fsync or link on."""

    def __init__(self, patch, number):
        self.left = number
        for name in ("fsync", "link"):
            patch.setattr(os, name, self.failing(getattr(os, name)))

    def failing(self, call):
        def called(*arguments, **named):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **named)

        return called


def test_a_disk_full_at_any_sync_ends_with_7_and_leaves_older_records_alone(
    tmp_path, stored_run, capsys
):
    older = {path.name: path.read_bytes() for path in stored_run.parent.iterdir()}
    for name, data in older.items():
        (tmp_path / name).write_bytes(data)
    statuses = []
    for number in range(20):
        with pytest.MonkeyPatch.context() as patch:
            FullAt(patch, number)
            statuses.append(run(["hash", *SIMULATED, "--out", str(tmp_path)]))
        said = capsys.readouterr().err
        if statuses[-1] == 0:
            break
        assert "cannot write" in said
        assert said.count("\n") == 1
    assert statuses[:-1] == [7] * (len(statuses) - 1)
    assert len(statuses) > 5, "the journal's folder, its blocks and its end, the record"
    assert {name: (tmp_path / name).read_bytes() for name in older} == older
    for path in tmp_path.glob("*.json"):
        assert load(path).run_id == path.stem


def test_a_journal_that_may_not_grow_ends_with_7(tmp_path):
    code = (
        "import resource, signal, sys\nfrom bench.cli import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "hash", *SIMULATED, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*.json")) == []
    (journal,) = tmp_path.glob("*.jsonl")
    assert recover(journal).status == "incomplete"


def test_runs_at_the_same_time_wait_for_each_other_or_end_with_5(tmp_path):
    command = bench("hash", *SIMULATED, "--out", tmp_path)
    with contextlib.ExitStack() as stack:
        with device_lock("SIM-h100", wait=False):
            waiting = [
                stack.enter_context(
                    subprocess.Popen(
                        [*command, "--wait"],
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(CONCURRENT)
            ]
            refused = subprocess.run(command, capture_output=True, text=True, check=False)
            assert refused.returncode == 5
            assert "--wait" in refused.stderr
            assert list(tmp_path.iterdir()) == []
        said = [process.communicate()[1] for process in waiting]
        assert [process.returncode for process in waiting] == [0] * CONCURRENT
    assert any("SIM-h100 is in use by another run: waiting until it ends" in each for each in said)
    records = list(tmp_path.glob("*.json"))
    assert len({load(path).run_id for path in records}) == CONCURRENT


def test_a_journal_in_use_is_not_recovered(tmp_path):
    with Journal(tmp_path, "run-0001") as open_journal:
        assert recover(open_journal.path).outcome == "still running"

"""``bench run`` without an instrument: whose options, whose streams, whose exit status. About 8 s.

With one: ``tests/meters/test_run_command.py``.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli import output, printed, running, spread_sets
from bench.cli import run as bench
from bench.cli.child import Child
from bench.cli.refusal import Refusal
from bench.store import device_lock

ASSUMED = ("--device", "cpu", "--assume-watts", "100")


def in_process(capfd, *arguments):
    """Status, stdout and stderr; the child's streams are this process's file descriptors."""
    status = bench(["run", *arguments])
    out, err = capfd.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
    ],
)
def test_the_commands_status_is_kept(capfd, command, status):
    found, out, err = in_process(capfd, *ASSUMED, "--", *command)
    assert found == status
    assert out == ""
    assert "ASSUMED_WATTS" in err


def test_joules_are_the_assumed_watts_times_the_time(capfd, tmp_path):
    where = tmp_path / "record.json"
    arguments = (*ASSUMED, "--units", "4", "--repeat", "2", "--json", str(where))
    assert in_process(capfd, *arguments, "--", "true")[0] == 0
    record = json.loads(where.read_text())
    figures = record["figures"]
    assert record["schema"] == "joulemark/stretch/1"
    assert record["command"] == ["true"]
    assert figures["runs"] == 2
    assert figures["joules"]["mid"] == pytest.approx(100 * figures["seconds"])
    assert figures["joules_per_unit"]["mid"] == pytest.approx(25 * figures["seconds"])
    assert figures["joules_absolute"] is None
    assert "assumed" in figures["reason"]
    assert record["validity"]["status"] == "labelled"


@pytest.mark.parametrize("dashes", [["--"], []])
def test_the_commands_options_are_its_own(capfd, dashes):
    child = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    theirs = ["--gpu", "7", "--set", "a=1", "b=2", "--help", "--", "-x"]
    status, out, _ = in_process(capfd, *ASSUMED, *dashes, *child, *theirs)
    assert status == 0
    assert out == f"{theirs}\n"


def test_set_is_spread_elsewhere_alone():
    assert spread_sets(["all", "--set", "btc=1", "power=2"])[3] == "--set"
    theirs = ["run", "--", "x", "--set", "btc=1", "power=2"]
    assert spread_sets(theirs) == theirs


def test_stdin_and_stdout_pass_through_whole():
    data = os.urandom(1 << 20)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench", "run", *ASSUMED, "--", "cat"],
        input=data, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == data


def test_json_alone_has_stdout(capfd):
    status, out, err = in_process(capfd, *ASSUMED, "--json", "-", "--", "echo", "mine")
    assert status == 0
    assert json.loads(out)["exit_status"] == 0
    assert err.startswith("mine\n")


def test_units_come_from_the_last_match_on_either_stream(capfd):
    script = "echo 'loss 0.5'; echo '1,000 tokens'; printf 'at 50%%\\rdone: 2.5e3 tokens' >&2"
    arguments = (*ASSUMED, "--units-regex", r"([\d.,e]+) tokens", "--json", "-")
    status, out, _ = in_process(capfd, *arguments, "--", "sh", "-c", script)
    assert status == 0
    record = json.loads(out)
    assert record["figures"]["units"] in (1000, 2500)  # two streams have no common order
    assert record["units_from"].startswith("--units-regex")


def test_a_reader_that_leaves_ends_the_command_too():
    command = [sys.executable, "-P", "-m", "bench", "run", *ASSUMED, "--units-regex", "(y)", "--"]
    piped = subprocess.Popen([*command, "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    piped.stdout.read(100)
    piped.stdout.close()
    said = piped.stderr.read()
    piped.stderr.close()
    assert piped.wait(30) == 128 + signal.SIGPIPE
    assert b"energy" in said


def test_what_is_left_in_the_background_is_not_waited_for_under_the_meter(capfd):
    arguments = (*ASSUMED, "--units-regex", r"(\d+) rows", "--json", "-")
    begun_s = time.monotonic()
    status, out, _ = in_process(capfd, *arguments, "--", "sh", "-c", "sleep 60 & echo 5 rows")
    assert status == 0
    assert time.monotonic() - begun_s < 30
    figures = json.loads(out)["figures"]
    assert figures["units"] == 5
    assert figures["seconds"] < 0.5


def test_a_pattern_without_end_costs_the_units_alone_and_is_tried_once(capfd, monkeypatch):
    monkeypatch.setattr(printed, "PATIENCE_S", 0.3)
    arguments = (*ASSUMED, "--units-regex", "(a+)+b", "--repeat", "3")
    status, _, err = in_process(capfd, *arguments, "--", "printf", "a" * 40)
    assert status == 0
    assert "per unit  not known" in err
    assert "the pattern was given up: it takes longer than 0.3 s" in err
    assert "mean of 3" in err


def test_units_that_nothing_matched_are_unknown_and_said(capfd):
    arguments = (*ASSUMED, "--units-regex", r"(\d+) tokens")
    status, out, err = in_process(capfd, *arguments, "--", "echo", "0 tokens")
    assert (status, out) == (0, "0 tokens\n")
    assert "not known: no number above 0 by --units-regex" in err


def test_out_keeps_record_and_journal(capfd, tmp_path):
    folder = tmp_path / "kept"
    assert in_process(capfd, *ASSUMED, "--out", str(folder), "--", "true")[0] == 0
    (record,) = folder.glob("*.stretch.json")
    assert json.loads(record.read_text())["figures"]["joules"]["mid"] > 0
    assert len(list(folder.glob("*.samples.jsonl.gz"))) == 1


def test_a_repeat_that_fails_is_the_last(capfd, tmp_path):
    script = f"echo x >> {tmp_path}/count; test $(wc -l < {tmp_path}/count) -lt 2"
    status, _, err = in_process(capfd, *ASSUMED, "--repeat", "5", "--", "sh", "-c", script)
    assert status == 1
    assert "mean of 2" in err


# --- what is refused, in one line, before anything is metered -----------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--", "no-such-command-anywhere"], 127, "no such command"),
        (["--", "/etc/passwd"], 126, "not an executable"),
        ([], 2, "CMD"),
        (["--no-such-option", "--", "true"], 2, "no-such-option"),
        (["--units", "0", "--", "true"], 2, "--units"),
        (["--units", "nan", "--", "true"], 2, "--units"),
        (["--units", "1e-320", "--", "true"], 2, "from 1e-15 to 1e+18"),
        (["--units", "1e308", "--", "true"], 2, "from 1e-15 to 1e+18"),
        (["--units", "inf", "--", "true"], 2, "from 1e-15 to 1e+18"),
        (["--units", "1", "--units-regex", "(x)", "--", "true"], 2, "exclude"),
        (["--units-regex", "(", "--", "true"], 2, "--units-regex"),
        (["--units-regex", "x", "--", "true"], 2, "group"),
        (["--repeat", "0", "--", "true"], 2, "--repeat"),
        (["--idle", "-1", "--", "true"], 2, "--idle"),
        (["--gpu", "0", "--device", "cpu", "--", "true"], 2, "exclude"),
        (["--device", "sim:h100", "--", "true"], 2, "real device"),
        (["--device", "cpu", "--meter", "none", "--require-energy", "--", "true"], 4, "energy"),
        (["--device", "cpu", "--out", "/proc/x", "--", "true"], 7, "--out"),
        (["--device", "cpu", "--json", "/proc/x/y", "--", "true"], 7, "--json"),
    ],
)
def test_refusals(capfd, arguments, status, word):
    found, out, err = in_process(capfd, *arguments)
    assert found == status
    assert out == ""
    (line,) = err.splitlines()
    assert word in line


def test_without_an_instrument_the_time_alone_is_known(capfd):
    status, _, err = in_process(
        capfd, "--device", "cpu", "--meter", "none", "--", "sh", "-c", "exit 5"
    )
    assert status == 5
    assert "NO_ENERGY" in err
    assert "energy    not known (NO_ENERGY)" in err
    assert "0 J" not in err


def test_a_busy_device_is_left_alone(capfd):
    with device_lock("cpu", wait=False):
        status, out, err = in_process(capfd, *ASSUMED, "--", "echo", "ran")
    assert (status, out) == (5, "")
    assert "--wait" in err


def test_terminating_bench_terminates_the_command_and_reports():
    child = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(9));"
        "print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench", "run", *ASSUMED, "--", sys.executable, "-c", child],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 9
    assert "energy" in said


def test_an_interrupt_before_the_command_never_starts_it():
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench", "run", "--assume-watts", "9", "--idle", "60", "--",
         "echo", "ran"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert "measuring the CPU" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert said.startswith("bench: interrupted before")
    assert said.count("\n") == 1


@pytest.mark.parametrize("moment", ["read", "lines", "_end"])
def test_a_signal_after_the_command_has_ended_loses_nothing(capfd, monkeypatch, tmp_path, moment):
    original = getattr(running, moment)

    def struck(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(running, moment, struck)
    where = tmp_path / "record.json"
    status, _, err = in_process(capfd, *ASSUMED, "--json", str(where), "--", "sh", "-c", "exit 3")
    assert status == 3
    assert "energy" in err
    assert "interrupted" not in err
    assert json.loads(where.read_text())["exit_status"] == 3


# --- records that can be written, whatever names hold and disks do --------------------------------


def test_bytes_that_are_no_text_are_kept_as_far_as_they_can_be(tmp_path):
    folder = os.fsencode(tmp_path)
    where, kept = folder + b"/r\xff.json", folder + b"/kept\xff"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench", "run", *ASSUMED, "--units-regex", b"(\\d+) \xff",
         "--out", kept, "--json", where, "--", "printf", b"7 \xff"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"7 \xff"), done.stderr
    with open(where, encoding="utf-8") as file:
        record = json.load(file)
    assert record["command"] == ["printf", "7 \ufffd"]
    assert record["units_from"] == "--units-regex (\\d+) \ufffd"
    assert record["figures"]["units"] == 7
    assert sorted(name.rpartition(b".")[2] for name in os.listdir(kept)) == [b"gz", b"json"]


@pytest.mark.parametrize("before", [None, '{"schema": "joulemark/stretch/1"}'])
def test_a_full_disk_leaves_what_stood_there(capfd, monkeypatch, tmp_path, before):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = tmp_path / "record.json"
    if before is not None:
        where.write_text(before)
    monkeypatch.setattr(output.os, "fsync", full)
    status, _, err = in_process(capfd, *ASSUMED, "--json", str(where), "--", "true")
    assert status == 7
    assert "No space left" in err
    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_json_goes_through_links_and_into_devices_and_pipes(tmp_path):
    real, link, pipe = (tmp_path / name for name in ("real", "link", "pipe"))
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    output.write_whole(link, "new")
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o640)
    output.write_whole(Path("/dev/null"), "new")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output.write_whole(pipe, "new")
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert pipe.is_fifo()


def test_what_was_asked_to_end_before_it_began_is_not_begun():
    child = Child(["echo", "ran"], quiet_stdout=False)
    child.signalled = signal.SIGTERM
    with pytest.raises(Refusal) as refusal:
        child.run(None)
    assert refusal.value.status == 143

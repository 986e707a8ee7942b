"""A sweep's limits on our library, through nvidia-ml-py: whatever ends it, the card is as before.

About 30 s: most tests are a process of their own, interrupted or killed in the middle of a sweep.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bench.cli import run as bench
from bench.cli.leftover import put_back

BEFORE_W = 450.0
UUID = "GPU-fa4e0000-0000-4000-8000-000000000000"
DRIVER = """
import os, select, sys
from pathlib import Path
from bench.cli import run, session
from bench.cli.refusal import Refusal
from bench.measure import Outcome
from bench.meters.power_limit import PowerLimit
from bench.ports import MeterError
from bench.store import load

def hold(self):
    print("holding", self.target.facts.power_limit_w, flush=True)
    while True:
        select.select([], [], [], 0.05)

def fail(self):
    raise RuntimeError("a bug")

def lose(self):
    def hangs(limit, watts):
        raise MeterError("the driver hangs")

    PowerLimit.restore = hangs
    raise Refusal(3, "the card was lost")

def done(self):
    print("measured at", self.target.facts.power_limit_w, flush=True)
    path = Path(os.environ["STORED"])
    return session.Measured(load(path), path, Outcome())

def first(self):
    return done(self) if self.target.facts.power_limit_w == 300.0 else hold(self)

session.Session.measured = globals()[sys.argv[1]]
sys.exit(run(sys.argv[2:]))
"""


def limits(path):
    """Every limit that was ever set, W."""
    return [float(line.split()[1]) for line in path.read_text().splitlines()]


def intents(tmp_path):
    return list((tmp_path / "state").glob("joulemark/*"))


@pytest.fixture
def start():
    processes = []

    def start(*arguments, how=None):
        command = [sys.executable, "-P", "-m", "bench", *arguments]
        if how is not None:
            command = [sys.executable, "-P", "-c", textwrap.dedent(DRIVER), how, *arguments]
        processes.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs to the end: (exit status, stdout, stderr)."""

    def run(*arguments, how=None):
        process = start(*arguments, how=how)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return run


SWEEP = ("sweep", "--gpu", "0", "--grade", "quick", "--power-limit")
LOOK = (*SWEEP, "250", "--dry-run")


@pytest.fixture
def holding(start):
    """A sweep in the middle of its first limit of 300 W."""
    process = start(*SWEEP, "300,400", "--apply", how="hold")
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert lines == ["Fake GPU at 300 W:\n", "holding 300.0\n"], process.stderr.read()
    return process


# A sweep that sets it


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The record of a run, which stands in for what a card without CUDA cannot measure."""
    place = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1", "--out", str(place)]
        assert bench(["all", *said]) == 0
    (record,) = place.glob("*.json")
    return record


def test_an_interrupt_keeps_what_was_measured(limit_file, start, stored, monkeypatch, tmp_path):
    monkeypatch.setenv("STORED", str(stored))
    process = start(*SWEEP, "300,400", "--apply", "--json", "sweep.json", how="first")
    for line in process.stdout:
        if line == "holding 400.0\n":
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert limits(limit_file) == [BEFORE_W, 300.0, 400.0, BEFORE_W]
    assert "The power limit is 450 W again." in out
    assert "sha256d on sim:h100: joules against the power limit" in out
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert document["interrupted"] is True
    assert [point["limit_w"] for point in document["points"]] == [300.0]


def test_every_limit_is_set_in_turn_and_the_first_restored(
    limit_file, run, stored, monkeypatch, tmp_path
):
    monkeypatch.setenv("STORED", str(stored))
    status, out, err = run(*SWEEP, "300,400", "--apply", "--json", "sweep.json", how="done")
    assert status == 0, err
    assert [line for line in out.splitlines() if line.startswith("measured")] == [
        "measured at 300.0",
        "measured at 400.0",
    ]
    assert limits(limit_file) == [BEFORE_W, 300.0, 400.0, BEFORE_W]
    assert "The power limit is 450 W again.\n" in out
    assert intents(tmp_path) == []
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["limit_w"] for point in document["points"]] == [300.0, 400.0]
    assert document["limit_restored"] is True


def test_it_is_restored_after_an_error_of_our_own(limit_file, run, tmp_path):
    status, out, err = run(*SWEEP, "300,400", "--apply", how="fail")
    assert status == 1
    assert "RuntimeError: a bug" in err
    assert limits(limit_file) == [BEFORE_W, 300.0, BEFORE_W]
    assert "The power limit is 450 W again." in out
    assert intents(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_restored_after_a_signal(limit_file, holding, tmp_path, number):
    holding.send_signal(number)
    out, err = holding.communicate(timeout=30)
    assert holding.returncode == 128 + number
    assert limits(limit_file) == [BEFORE_W, 300.0, BEFORE_W]
    assert "The power limit is 450 W again." in out
    assert err == "bench: interrupted before anything was measured\n"
    assert intents(tmp_path) == []


def test_a_signal_while_a_limit_is_being_set_is_heeded_once_it_is(
    limit_file, start, fake_gpu, tmp_path
):
    fake_gpu(DELAY="nvmlDeviceSetPowerManagementLimit=0.8")
    process = start(*SWEEP, "300,400", "--apply", how="hold")
    end_s = time.monotonic() + 30
    while not limits(limit_file) and time.monotonic() < end_s:
        select.select([], [], [], 0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "holding" not in out
    assert limits(limit_file) == [BEFORE_W, 300.0, BEFORE_W]
    assert intents(tmp_path) == []


def test_the_intent_is_on_disk_privately_before_the_card_is_touched(
    limit_file, holding, tmp_path, run
):
    (path,) = intents(tmp_path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    intent = json.loads(path.read_text())
    assert (intent["uuid"], intent["original_w"]) == (UUID, BEFORE_W)
    assert intent["limits_w"] == [300.0, 400.0]
    assert intent["pid"] == holding.pid

    status, out, err = run(*LOOK)  # while it lives, nobody puts the limit back
    assert status == 0, err
    assert "killed" not in out
    assert limits(limit_file) == [BEFORE_W, 300.0]
    assert intents(tmp_path) == [path]


@pytest.mark.parametrize(
    "look", [("all", "--gpu", "0", "--model", "tiny", "--dry-run"), ("run", "--", "true")]
)
def test_the_next_start_after_a_kill_restores_it(limit_file, holding, tmp_path, run, look):
    holding.kill()
    holding.communicate()
    assert limits(limit_file) == [BEFORE_W, 300.0]
    status, out, err = run(*look)
    assert status == 0, err
    said = [line for line in (out + err).splitlines() if "was killed" in line]
    assert len(said) == 1
    assert said[0].endswith("its power limit of 450 W is restored.")
    assert limits(limit_file) == [BEFORE_W, 300.0, BEFORE_W]
    assert intents(tmp_path) == []


@pytest.fixture
def left(limit_file, tmp_path):
    """What a killed sweep leaves behind: a limit of 300 W and its intent."""
    limit_file.write_text("0 300\n")
    folder = tmp_path / "state" / "joulemark"
    folder.mkdir(mode=0o700, parents=True)
    path = folder / f"limit-{hashlib.sha256(UUID.encode()).hexdigest()[:16]}.json"
    intent = {
        "uuid": UUID, "original_w": BEFORE_W, "limits_w": [300.0, 400.0], "pid": 1,
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "written_at": "2026-11-22T15:01:02+00:00",
    }  # fmt: skip
    path.write_text(json.dumps(intent))
    return path


def test_what_cannot_be_restored_is_told_and_stops_the_next_sweep(limit_file, left, run, fake_gpu):
    fake_gpu(FAIL="nvmlDeviceSetPowerManagementLimit=4")
    status, out, err = run(*SWEEP, "350", "--apply")
    assert status == 7
    assert "run: sudo nvidia-smi -i 0 -pl 450\n" in out
    assert "an earlier sweep was killed: restore the limit of 450 W first" in err
    assert left.exists()
    assert limits(limit_file) == [300.0]


@pytest.fixture
def next_start(python):
    """What the next start on the card finds and says: [its limit, the line]."""

    def next_start():
        return python("""
            import json
            from bench.cli.leftover import put_back
            from bench.records.run import DeviceFacts
            uuid = "GPU-fa4e0000-0000-4000-8000-000000000000"
            facts, told = put_back(DeviceFacts(kind="gpu", name="Fake GPU", index=0, uuid=uuid))
            print(json.dumps([facts.power_limit_w, told]))
        """)

    return next_start


def test_a_limit_that_another_has_set_since_is_left(limit_file, left, next_start):
    with limit_file.open("a") as file:
        file.write("0 222\n")
    limit_w, told = next_start()
    assert limit_w == 222.0
    assert told.endswith("its power limit was set to 222 W by another since: left so.")
    assert limits(limit_file) == [300.0, 222.0]
    assert not left.exists()
    assert next_start() == [None, None]


def test_a_limit_that_is_as_before_is_not_set_again(limit_file, left, next_start):
    with limit_file.open("a") as file:
        file.write("0 450\n")
    assert next_start()[1].endswith("its power limit is 450 W, as before.")
    assert limits(limit_file) == [300.0, 450.0]
    assert not left.exists()


def test_a_limit_does_not_outlast_a_restart(limit_file, left, next_start):
    left.write_text(json.dumps({**json.loads(left.read_text()), "boot": "another"}))
    assert "the machine has been restarted since" in next_start()[1]
    assert limits(limit_file) == [300.0]
    assert not left.exists()


@pytest.mark.parametrize("text", ['{"uuid": 1}', "[" * 9000, "null"])
def test_an_intent_that_makes_no_sense_is_told_and_left(limit_file, left, gpu, text):
    left.write_text(text)
    device, told = put_back(gpu)
    assert device == gpu
    assert "is no intent of a sweep" in told
    assert left.exists()
    assert limits(limit_file) == [300.0]


def test_without_permission_nothing_is_changed(limit_file, run, tmp_path, fake_gpu):
    fake_gpu(FAIL="nvmlDeviceSetPowerManagementLimit=4")
    status, out, err = run(*SWEEP, "300", "--apply", how="hold")
    assert status == 3
    assert out == ""
    assert err.count("\n") == 1
    assert "no permission" in err
    assert "run it as root, or leave --apply out" in err
    assert limits(limit_file) == []
    assert intents(tmp_path) == []


def test_a_limit_that_is_not_read_back_ends_the_sweep_and_is_undone(
    limit_file, run, tmp_path, fake_gpu
):
    fake_gpu(LIMIT_LEAST_W=350)
    status, out, err = run(*SWEEP, "300", "--apply", how="hold")
    assert status == 3
    assert "the driver took 300 W, but the limit reads 350 W" in err
    assert limits(limit_file) == [BEFORE_W, 350.0, BEFORE_W]
    assert "The power limit is 450 W again." in out
    assert intents(tmp_path) == []


def test_a_limit_that_cannot_be_restored_is_told_and_kept_on_disk(limit_file, run, tmp_path):
    status, out, _ = run(*SWEEP, "300", "--apply", how="lose")
    assert status == 3
    assert (
        "The power limit is NOT restored: the driver hangs; run: sudo nvidia-smi -i 0 -pl 450\n"
    ) in out
    assert len(intents(tmp_path)) == 1
    assert limits(limit_file) == [BEFORE_W, 300.0]


# A sweep that leaves it to the operator


def test_the_operator_is_told_what_to_type_and_awaited(limit_file, start, tmp_path):
    process = start(*SWEEP, "300,400", how="hold")
    assert process.stdout.readline() == (
        "waiting for 300 W; run: sudo nvidia-smi -i 0 -pl 300 (10:00 left)\n"
    )
    with limit_file.open("a") as file:
        file.write("0 300\n")
    assert process.stdout.readline() == "Fake GPU at 300 W:\n"
    assert process.stdout.readline() == "holding 300.0\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.splitlines()[0] == (
        "The power limit is still 300 W, before it was 450 W;"
        " restore it with: sudo nvidia-smi -i 0 -pl 450"
    )
    assert limits(limit_file) == [300.0]
    assert intents(tmp_path) == []


def test_nobody_is_awaited_for_ever(limit_file, run):
    status, out, err = run(*SWEEP, "300", "--wait-limit", "0.2", how="hold")
    assert status == 3
    assert err == (
        "bench: the limit did not become 300 W within 0.2 s: run sudo nvidia-smi -i 0 -pl 300,"
        " or wait longer with --wait-limit SECONDS\n"
    )
    assert "The power limit is 450 W, as before." in out
    assert limits(limit_file) == []


def test_an_interrupt_while_waiting(limit_file, start):
    process = start(*SWEEP, "300", how="hold")
    assert "waiting for 300 W" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "bench: interrupted before anything was measured\n"
    assert limits(limit_file) == []


def test_a_limit_that_the_card_does_not_take(limit_file, run):
    status, out, err = run(*SWEEP, "300,501", "--apply")
    assert (status, out) == (2, "")
    says = "501 W is out of range; Fake GPU takes 200 to 500 W"
    assert err == f"bench: --power-limit 300,501: {says}\n"
    assert limits(limit_file) == []

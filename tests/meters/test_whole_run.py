"""``bench all`` through the real NVML path: our library, the real bindings, sampler and workers."""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOW_W, HIGH_W, PERIOD_S = 150.0, 250.0, 0.37
QUICK = ("--device", "cpu", "--grade", "quick", "--model", "tiny")
BESIDE = (*QUICK, "--meter", "nvml:0")
BLOCKS = 4  # of each workload at the quick grade
WINDOW_S, SHORT_S = 6.0, 2.0
AROUND_S = 2 * (SHORT_S + BLOCKS * 0.5) + 5.0  # blocks, their settling, warm-up


def energy_j(t_s):
    periods, rest_s = divmod(t_s, PERIOD_S)
    high_s = periods * PERIOD_S / 2 + min(rest_s, PERIOD_S / 2)
    return HIGH_W * high_s + LOW_W * (t_s - high_s)


def samplers_of(pid):
    """Process ids of the samplers that this run has started and that still live."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"bench.meters.sampler" in command and str(pid).encode() in command:
            found.add(int(entry.name))
    return found


def facts_of(folder):
    (journal,) = folder.glob("*.samples.jsonl.gz")
    return [json.loads(line) for line in gzip.decompress(journal.read_bytes()).splitlines()]


@pytest.fixture
def start(fake_gpu, tmp_path):
    processes = []

    def start(*arguments, **settings):
        fake_gpu(**settings)
        command = [sys.executable, "-P", "-m", "bench", "all", "--out", str(tmp_path / "out")]
        processes.append(
            subprocess.Popen(
                [*command, "--json", "-", *arguments],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs to the end: (exit status, stdout, stderr)."""

    def run(*arguments, **settings):
        process = start(*arguments, **settings)
        out, err = process.communicate(timeout=170)
        return process.returncode, out, err

    return run


def test_a_cpu_run_beside_a_cards_meter_books_the_waveforms_joules_and_says_whose(run, tmp_path):
    wave = f"{LOW_W}:{HIGH_W}:{PERIOD_S}"
    status, out, err = run(
        *BESIDE, "--window", str(WINDOW_S), WATTS=wave, UPDATE_S=0.05, WINDOW_S=0.05
    )
    assert status == 0, err
    record = json.loads(out)
    names = {code["name"] for code in record["validity"]["codes"]}
    assert {"METER_MISMATCH", "FAKE_LIBRARY", "UNRANKED"} <= names
    # with --window so short too few shares are expected to be counted sharply
    assert names <= {
        "METER_MISMATCH", "FAKE_LIBRARY", "UNRANKED", "SHORT_WINDOW", "TOO_FEW_BLOCKS",
        "UNCALIBRATED", "FEW_SHARES",
    }  # fmt: skip
    for workload in record["workloads"]:
        assert workload["metrics"]["joules_source"] == "measured-counter"
        windows = workload["windows"]
        assert len(windows) == BLOCKS
        true_j = sum(energy_j(each["end_s"]) - energy_j(each["start_s"]) for each in windows)
        assert sum(each["counter_j"] for each in windows) == pytest.approx(true_j, rel=0.01)
    assert "meter_tally" in {fact.get("name") for fact in facts_of(tmp_path / "out")}
    assert (
        "not this device's own" in record["verdict"]["sentence"]
        or record["verdict"]["code"] == "UNDECIDED"
    )


def test_a_call_that_hangs_costs_the_joules_but_neither_the_run_nor_the_interrupt(start, tmp_path):
    process = start(
        *BESIDE, "--window", str(SHORT_S), DELAY="nvmlDeviceGetFieldValues=inf", FAULTS_AFTER_S=3
    )
    await_hang(tmp_path / "out")
    hung_s = time.monotonic()
    out, err = process.communicate(timeout=170)
    assert time.monotonic() - hung_s < AROUND_S + 5.0
    assert process.returncode == 9, err
    record = json.loads(out)
    codes = {code["name"]: code["fatal"] for code in record["validity"]["codes"]}
    assert codes["SAMPLER_HUNG"]
    assert all(workload["metrics"]["units_per_s"] for workload in record["workloads"])
    assert samplers_of(process.pid) == set()


def test_an_interrupt_ends_a_run_whose_sampler_hangs(start, tmp_path):
    process = start(*BESIDE, DELAY="nvmlDeviceGetFieldValues=inf", FAULTS_AFTER_S=1)
    await_hang(tmp_path / "out")
    interrupted_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - interrupted_s < 10.0
    assert process.returncode == 130, err
    assert json.loads(out)["validity"]["status"] == "incomplete"
    assert "Traceback" not in err
    assert samplers_of(process.pid) == set()


def await_hang(folder):
    """Until the run's journal says that its sampler hung."""
    end_s = time.monotonic() + 90.0
    while time.monotonic() < end_s:
        if any("SAMPLER_HUNG" in path.read_text() for path in folder.glob("*.samples.jsonl")):
            return
        time.sleep(0.05)
    pytest.fail("the hang was not noticed")


def test_the_first_visible_card_is_the_default_and_its_absence_from_cuda_is_told(run):
    status, out, _ = run("--grade", "quick", "--dry-run", WATTS=250)
    plan = json.loads(out)
    assert status == 0
    assert plan["device"].startswith("Fake")
    assert plan["kwh"] > 0


def test_a_gpu_that_is_not_there(run):
    status, _, err = run("--gpu", "99", WATTS=250)
    assert status == 3
    assert err.count("\n") == 1
    assert "GPU 99" in err


def test_a_card_without_cuda_ends_in_a_record_that_says_why(run):
    status, out, err = run("--gpu", "0", "--grade", "quick", "--model", "tiny", WATTS=250)
    record = json.loads(out)
    assert status in (3, 4), err
    assert record["validity"]["status"] == "incomplete"
    assert record["workloads"] == []
    assert record["verdict"]["code"] == "UNDECIDED"
    assert "Traceback" not in err

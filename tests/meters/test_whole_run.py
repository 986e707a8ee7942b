"""``bench all`` through the real NVML path: our library, the real bindings, sampler and workers."""

import gzip
import json
import subprocess
import sys

import pytest


@pytest.fixture
def run(fake_gpu, tmp_path):
    def run(*arguments, **settings):
        fake_gpu(**settings)
        command = [sys.executable, "-P", "-m", "bench", "all", "--out", str(tmp_path / "out")]
        return subprocess.run(
            [*command, "--json", "-", *arguments], capture_output=True, text=True, check=False
        )

    return run


QUICK = ("--device", "cpu", "--grade", "quick", "--window", "2", "--model", "tiny")


def test_a_cpu_run_beside_a_cards_meter_books_joules_and_says_whose(run, tmp_path):
    # always fresh: on a 20 ms grid one tick is 5 % of blocks as short as these
    done = run(*QUICK, "--meter", "nvml:0", WATTS=250, UPDATE_S=0)
    record = json.loads(done.stdout)
    assert done.returncode in (0, 9), done.stderr
    names = {code["name"] for code in record["validity"]["codes"]}
    assert {"METER_MISMATCH", "FAKE_LIBRARY"} <= names
    for workload in record["workloads"]:
        metrics = workload["metrics"]
        assert metrics["joules_source"] == "measured-counter"
        assert metrics["watts"]["mid"] == pytest.approx(250, rel=0.02)
        for window in workload["windows"]:
            assert window["counter_j"] == pytest.approx(window["integral_j"], rel=0.02)
    (journal,) = (tmp_path / "out").glob("*.samples.jsonl.gz")
    facts = [json.loads(line) for line in gzip.decompress(journal.read_bytes()).splitlines()]
    assert "meter_tally" in {fact.get("name") for fact in facts}
    assert (
        "not this device's own" in record["verdict"]["sentence"]
        or record["verdict"]["code"] == "UNDECIDED"
    )


def test_the_first_visible_card_is_the_default_and_its_absence_from_cuda_is_told(run):
    done = run("--grade", "quick", "--dry-run", WATTS=250)
    plan = json.loads(done.stdout)
    assert done.returncode == 0
    assert plan["device"].startswith("Fake")
    assert plan["kwh"] > 0


def test_a_gpu_that_is_not_there(run):
    done = run("--gpu", "99", WATTS=250)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "GPU 99" in done.stderr


def test_a_card_without_cuda_ends_in_a_record_that_says_why(run):
    done = run("--gpu", "0", "--grade", "quick", "--model", "tiny", WATTS=250)
    record = json.loads(done.stdout)
    assert done.returncode in (3, 4), done.stderr
    assert record["validity"]["status"] == "incomplete"
    assert record["workloads"] == []
    assert record["verdict"]["code"] == "UNDECIDED"
    assert "Traceback" not in done.stderr

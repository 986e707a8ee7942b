"""A quick ``bench all --gpu 0`` on the real card: whole, valid, and on the card the meter reads."""

import json
import subprocess
import sys

import pytest

from bench.meters import nvml
from bench.ports import MeterError

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@pytest.fixture(scope="module")
def card():
    try:
        return nvml.resolve(0)
    except MeterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def record(card, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "bench", "all", "--gpu", str(card.index), "--grade", "quick"]
    done = subprocess.run(
        [*command, "--out", str(out), "--json", "-"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_workloads_ran_on_the_card_that_the_meter_reads(card, record):
    assert record["device"]["uuid"] == card.uuid == record["meter"]["device_uuid"]
    assert not record["meter"]["mismatch"]
    assert {w["name"] for w in record["workloads"]} == {"sha256d", "serve"}
    assert all(w["verified"]["passed"] for w in record["workloads"])


def test_joules_are_measured_and_possible(card, record):
    for workload in record["workloads"]:
        metrics = workload["metrics"]
        assert metrics["joules_source"] == "measured-counter"
        assert metrics["boundary"] == "board"
        assert 0 < metrics["watts"]["mid"] <= 1.3 * card.power_limit_max_w
        assert metrics["joules_per_unit"]["lo"] > 0


def test_no_code_is_fatal_and_a_verdict_is_given(record):
    assert record["validity"]["status"] == "labelled"
    assert not [code for code in record["validity"]["codes"] if code["fatal"]]
    assert record["verdict"]["code"] not in ("UNDECIDED", "NO MARKET")

"""``bench calibrate`` on the real card: what it finds is possible, and found again."""

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


def calibrated(card, out, seed):
    command = [sys.executable, "-m", "bench", "calibrate", "--gpu", str(card.index)]
    said = ["--seed", str(seed), "--out", str(out), "--json", "-"]
    done = subprocess.run([*command, *said], capture_output=True, text=True, check=False)
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_calibrations_agree_on_the_sensor(card, tmp_path):
    one, other = (calibrated(card, tmp_path, seed)["sensor"] for seed in (1, 2))
    assert one["kind"] == other["kind"] != "unknown"
    assert 0.005 < one["update_s"] < 1.0
    assert one["update_s"] == pytest.approx(other["update_s"], rel=0.03)
    assert one["window_s"] == pytest.approx(other["window_s"], abs=0.1 * one["update_s"])
    assert one["lag_s"] == pytest.approx(other["lag_s"], abs=0.03)

"""Ctrl-C at different moments of a real run: status 130 at once, what was measured is kept."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

PATIENCE_S = 5.0  # the promise is 2 s; a loaded machine gets more


@pytest.fixture
def real_run(tmp_path):
    command = [
        sys.executable, "-m", "bench", "all", "--device", "cpu", "--grade", "quick",
        "--model", "tiny", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("sha256d loads", signal.SIGINT),
        ("decode loads", signal.SIGTERM),
        ("sha256d warms up", signal.SIGHUP),
        ("block  1/4", signal.SIGINT),
    ],
)
def test_an_interrupt_ends_the_run_and_keeps_what_there_is(real_run, tmp_path, moment, number):
    for line in real_run.stdout:
        if moment in line:
            break
    else:
        pytest.fail("the run ended before that moment")
    begun = time.monotonic()
    os.killpg(real_run.pid, number)
    said, _ = real_run.communicate(timeout=60)
    assert time.monotonic() - begun < PATIENCE_S
    assert real_run.returncode == 128 + number
    assert "Traceback" not in said
    (saved,) = (tmp_path / "out").glob("*.json")
    record = json.loads(saved.read_text())
    assert record["validity"]["status"] == "incomplete"
    assert "INTERRUPTED" in {code["name"] for code in record["validity"]["codes"]}
    assert record["verdict"]["code"] == "UNDECIDED"
    measured = {w["name"]: len(w["windows"]) for w in record["workloads"]}
    assert measured.get("sha256d", 0) == (1 if "block" in moment else 0)
    assert saved.with_name(f"{record['run_id']}.samples.jsonl.gz").exists()

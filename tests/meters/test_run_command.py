"""``bench run`` and ``bench.Meter`` through the real NVML path, on our own library. About 40 s."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bench.meters.process import SILENCE_S

LOW_W, HIGH_W, PERIOD_S = 100.0, 300.0, 0.25
SLEEP = (sys.executable, "-c", "import time; time.sleep(1)")


NO_COUNTER = "nvmlDeviceGetTotalEnergyConsumption=3,field191=3"


def square_j(t_s):
    """The integral of the square wave from 0, in closed form: high in each first half."""
    periods, rest_s = divmod(t_s, PERIOD_S)
    high_s = periods * PERIOD_S / 2 + min(rest_s, PERIOD_S / 2)
    return HIGH_W * high_s + LOW_W * (t_s - high_s)


@pytest.fixture
def run(fake_gpu, tmp_path):
    """Runs a command under the fake card's meter: its status, what it said, the record."""

    def run(*arguments, command=SLEEP, **settings):
        fake_gpu(**settings)
        where = tmp_path / "record.json"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bench", "run", "--json", where, *arguments,
             "--", *command],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        record = json.loads(where.read_text()) if where.exists() else None
        return done, record

    return run


def names(record):
    return {code["name"] for code in record["validity"]["codes"]}


def test_constant_power_within_a_percent_and_the_status_kept(run):
    command = (
        sys.executable,
        "-c",
        "import time; time.sleep(1.2); print('x'); raise SystemExit(3)",
    )
    done, record = run(
        "--gpu", "0", "--units", "60", "--idle", "2", command=command, WATTS=250, UPDATE_S=0.1
    )
    assert done.returncode == 3
    assert done.stdout == "x\n"
    figures = record["figures"]
    assert figures["joules"]["mid"] == pytest.approx(250 * figures["seconds"], rel=0.01)
    assert figures["joules_per_unit"]["mid"] == pytest.approx(figures["joules"]["mid"] / 60)
    assert figures["joules_source"] == "measured-counter"
    assert figures["boundary"] == "board"
    assert record["exit_status"] == 3
    assert {"FAKE_LIBRARY", "UNCALIBRATED"} <= names(record)
    assert record["validity"]["status"] == "labelled", record["validity"]
    idle = record["idle"]["watts"]
    assert idle["mid"] == pytest.approx(250, rel=0.08), "ticks of 0.1 s in 2 s"
    assert abs(figures["joules_net"]["mid"]) < 0.08 * figures["joules"]["mid"]
    assert ("NOT_LOADED" in names(record)) == (figures["watts"]["mid"] <= idle["hi"])
    assert re.search(r"2(4[89]|5[012])(\.\d)? W", done.stderr), done.stderr


def test_a_square_wave_within_a_percent_or_what_the_edges_leave(run):
    waveform = f"{LOW_W}:{HIGH_W}:{PERIOD_S}"
    _, record = run("--device", "cpu", "--meter", "nvml:0", WATTS=waveform, UPDATE_S=0)
    (stretch,) = record["stretches"]
    true_j = square_j(stretch["end_s"]) - square_j(stretch["start_s"])
    allowed_j = max(0.01 * true_j, 2 * stretch["edge_u_j"])
    assert stretch["edge_u_j"] < 0.03 * true_j
    assert stretch["joules"] == pytest.approx(true_j, abs=allowed_j)
    assert "METER_MISMATCH" in names(record)


def test_units_are_read_from_what_it_prints_and_repeats_give_the_interval(run):
    command = ("sh", "-c", "echo 'step 1: 10 rows'; sleep 0.3; echo 'all: 1,200 rows' >&2")
    done, record = run(
        "--gpu", "0", "--repeat", "3", "--units-regex", r"([\d,]+) rows",
        command=command, WATTS=200, UPDATE_S=0.02,
    )  # fmt: skip
    figures = record["figures"]
    assert done.stdout == "step 1: 10 rows\n" * 3
    assert done.stderr.count("all: 1,200 rows\n") == 3
    assert figures["units"] == 1200
    assert figures["runs"] == figures["joules"]["n"] == len(record["stretches"]) == 3
    assert figures["watts"]["mid"] == pytest.approx(200, rel=0.03)


def test_a_child_shorter_than_the_counters_period_is_labelled_never_zero(run):
    _, record = run("--gpu", "0", command=("true",), WATTS=200, UPDATE_S=0.5)
    assert "SHORT_WINDOW" in names(record)
    joules = record["figures"]["joules"]
    true_j = 200 * record["figures"]["seconds"]
    half_j = 0.0 if joules is None else joules["hi"] - joules["mid"]  # 95 %: twice that is certain
    assert joules is None or joules["mid"] == pytest.approx(true_j, abs=2 * half_j)
    assert joules is None or joules["mid"] > 0


def test_a_meter_that_hangs_does_not_hold_the_command(run):
    begun_s = time.monotonic()
    done, record = run(
        "--gpu", "0",
        command=(sys.executable, "-c", "import time; time.sleep(3)"),
        WATTS=200, UPDATE_S=0.02,
        DELAY="nvmlDeviceGetFieldValues=60", FAULTS_AFTER_S=1.5,
    )  # fmt: skip
    assert done.returncode == 0
    assert "SAMPLER_HUNG" in names(record)
    assert record["validity"]["status"] == "invalid"
    assert record["figures"]["seconds"] == pytest.approx(3, abs=0.5)
    assert time.monotonic() - begun_s < 3 + SILENCE_S + 8


def test_a_counter_without_its_function_is_polled_instead(run):
    _, record = run("--gpu", "0", WATTS=200, UPDATE_S=0.02, FAIL=NO_COUNTER)
    assert record["figures"]["joules_source"] == "measured-polled"
    assert record["figures"]["watts"]["mid"] == pytest.approx(200, rel=0.02)
    assert record["figures"]["joules_absolute"] is not None


@pytest.mark.parametrize("update_s", [0.1, 1])
def test_a_load_between_two_updates_leaves_them_open(run, tmp_path, update_s):
    load = tmp_path / "load"
    load.touch()
    code = f"""
import pathlib, time
load = pathlib.Path({str(load)!r})
begun_s = time.monotonic()
load.write_text(f"{{begun_s}} 1\\n")
time.sleep(1)
ended_s = time.monotonic()
load.write_text(f"{{begun_s}} 1\\n{{ended_s}} 0\\n")
print(ended_s - begun_s)
"""
    done, record = run(
        "--gpu", "0", command=(sys.executable, "-c", code),
        WATTS="100.3:300.7:1", LOAD=load, UPDATE_S=update_s, FAIL=NO_COUNTER,
    )  # fmt: skip
    figures = record["figures"]
    true_j = 100.3 * figures["seconds"] + 200.4 * float(done.stdout)
    assert figures["joules"]["lo"] <= true_j <= figures["joules"]["hi"]
    assert "SHORT_WINDOW" in names(record) or figures["seconds"] > 2  # a crowded machine's


def test_an_interrupt_reaches_both_and_the_report_still_comes(fake_gpu, tmp_path):
    fake_gpu(WATTS=200, UPDATE_S=0.02)
    where = tmp_path / "record.json"
    child = "import time\ntry: print('up', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:"
    command = [sys.executable, "-c", f"{child} raise SystemExit(7)"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench", "run", "--gpu", "0", "--repeat", "2", "--json", where,
         "--", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 7, said
    record = json.loads(where.read_text())
    assert len(record["stretches"]) == 1
    assert record["figures"]["joules"]["mid"] > 0
    assert "Traceback" not in said


# --- bench.Meter ------------------------------------------------------------------------------


def test_a_script_measures_itself_and_its_windows(fake_gpu, python):
    fake_gpu(WATTS=200, UPDATE_S=0.02)
    said = python(
        """
        import json, time, bench
        with bench.Meter(gpu=0) as m:
            with m.window("prefill") as prefill:
                time.sleep(0.5)
            time.sleep(0.7)
        print(json.dumps({
            "watts": m.watts.mid, "seconds": m.seconds, "per": m.per_unit(10).mid,
            "joules": m.joules.mid, "absolute": [m.joules_absolute.lo, m.joules_absolute.hi],
            "window": [prefill.name, prefill.joules.mid, prefill.joules.lo, prefill.joules.hi,
                       prefill.seconds],
            "codes": [code.name for code in m.codes], "reason": m.reason,
        }))
        """
    )
    assert said["watts"] == pytest.approx(200, rel=0.01)
    assert said["per"] == pytest.approx(said["joules"] / 10)
    assert said["absolute"][0] < said["joules"] < said["absolute"][1]
    name, mid, lo, hi, seconds = said["window"]
    assert name == "prefill"
    assert lo < 200 * seconds < hi, "what two edges in 0.5 s leave open, and no more"
    assert hi - lo < 0.1 * mid
    assert {"FAKE_LIBRARY", "UNCALIBRATED"} <= set(said["codes"])
    assert said["reason"] is None


def test_whatever_is_raised_inside_no_sampler_is_left(fake_gpu, python):
    fake_gpu(WATTS=200, UPDATE_S=0.02)
    said = python(
        """
        import json, pathlib, threading, bench
        def samplers():
            found = []
            for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = stat.read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                found += [fields[0]] if int(fields[1]) == __import__("os").getpid() else []
            return [state for state in found if state != "Z"]
        inside = None
        try:
            with bench.Meter(gpu=0) as m:
                inside = len(samplers())
                raise KeyError("mine")
        except KeyError as error:
            raised = str(error)
        print(json.dumps({
            "inside": inside, "after": len(samplers()), "threads": threading.active_count(),
            "raised": raised, "joules": m.joules.mid,
        }))
        """
    )
    assert said["inside"] == 1
    assert said["after"] == 0
    assert said["threads"] == 1
    assert said["raised"] == "'mine'"
    assert said["joules"] > 0


def test_forked_workers_that_outlive_the_meter_do_not_make_it_hang(fake_gpu, python):
    fake_gpu(WATTS=200, UPDATE_S=0.02)
    said = python(
        """
        import json, os, signal, time, warnings, bench
        warnings.simplefilter("ignore")
        with bench.Meter(gpu=0) as m:
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            time.sleep(0.3)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(json.dumps([code.name for code in m.codes]))
        """
    )
    assert "SAMPLER_HUNG" not in said

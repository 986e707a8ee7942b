"""The command as a user meets it: exit status, one line, nothing half-written."""

import gzip
import json
import os
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest

from bench.cli import run, spread_sets
from bench.records.journal import from_line

SCHEMA = json.loads(files("bench.schema").joinpath("run-1.json").read_text(encoding="utf-8"))


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)

    def bench(*arguments):
        status = run(["all", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return bench


def simulated(bench, *arguments):
    status, out, _ = bench("--device", "sim:h100", "--json", "-", *arguments)
    return status, json.loads(out)


@pytest.mark.parametrize(
    ("card", "grade", "seed"),
    [
        *(("h100", "quick", k) for k in range(20)),
        *((card, "standard", k) for card in ("h100", "a100") for k in range(3)),
        ("rtx4090", "standard", 0),
    ],
)
def test_simulated_cards_give_back_the_known_answer(bench, card, grade, seed):
    said = ("--device", f"sim:{card}", "--grade", grade, "--seed", str(seed))
    status, out, _ = bench(*said, "--json", "-")
    record = json.loads(out)
    assert status == 0
    for workload in record["workloads"]:
        truth = record["device"]["truth"][workload["name"]]["joules_per_unit"]
        absolute = workload["metrics"]["joules_per_unit_absolute"]
        assert absolute["lo"] <= truth <= absolute["hi"]
        assert absolute["hi"] - absolute["lo"] < 0.3 * truth
        rate = workload["metrics"]["units_per_s"]["mid"]
        assert rate == pytest.approx(
            record["device"]["truth"][workload["name"]]["units_per_s"], rel=0.01
        )


def test_the_record_is_valid_saved_with_its_journal_and_labelled(bench, tmp_path):
    status, record = simulated(bench)
    assert status == 0
    jsonschema.validate(record, SCHEMA)
    assert record["validity"]["status"] == "labelled"
    assert "SIMULATED" in {code["name"] for code in record["validity"]["codes"]}
    saved = tmp_path / "results" / f"{record['run_id']}.json"
    assert json.loads(saved.read_text()) == record
    journal = saved.with_name(f"{record['run_id']}.samples.jsonl.gz")
    lines = gzip.decompress(journal.read_bytes()).decode().splitlines()
    facts = [from_line(json.loads(line)) for line in lines]
    assert len(facts) > 1000
    assert {p.name for p in saved.parent.iterdir()} == {saved.name, journal.name}


def test_the_shipped_schema_is_the_records_own():
    from bench.store import json_schema

    assert json_schema() == SCHEMA


def test_the_same_seed_gives_the_same_figures(bench):
    first, second = (simulated(bench, "--seed", "5")[1] for _ in range(2))
    assert first["workloads"] == second["workloads"]
    assert first["verdict"] == second["verdict"]
    assert simulated(bench, "--seed", "6")[1]["workloads"] != first["workloads"]


def test_prices_can_be_set(bench):
    _, record = simulated(bench, "--set", "btc=200000", "power=0.01", "--set", "token=100")
    assert record["verdict"]["code"] == "SERVE"
    assert record["market"]["btc_usd"]["value"] == 200000


def test_the_plain_screen_names_every_block_and_the_verdict(bench):
    status, out, _ = bench("--device", "sim:h100")
    assert status == 0
    assert "sha256d  block 10/10" in out
    assert "serve    block  1/10" in out
    assert "One paid kWh" in out
    assert "\x1b" not in out


def test_a_dry_run_tells_its_seconds_and_measures_nothing(bench, tmp_path):
    status, out, _ = bench("--device", "cpu", "--grade", "quick", "--dry-run", "--json", "-")
    document = json.loads(out)
    assert status == 0
    assert document["seconds"] == pytest.approx(
        2 + sum(s["seconds"] + s["settle_s"] for s in document["steps"])
    )
    assert 25 < document["seconds"] < 90
    assert list(tmp_path.iterdir()) == []


def test_a_simulated_dry_run_does_not_promise_virtual_minutes(bench):
    status, out, _ = bench("--device", "sim:h100", "--dry-run", "--json", "-")
    document = json.loads(out)
    assert status == 0
    assert document["seconds"] < 10
    assert document["kwh"] is None
    assert document["kwh_reason"] == "the steps pass on virtual time"


BAD_MARKET = 'name = "x"\n[power]\nvalue = -1\n'


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--gpu", "0"], 3, "--device cpu"),
        (["--gpu", "99"], 3, "--device cpu"),
        (["--gpu", "-1"], 2, "--gpu"),
        (["--gpu", "0", "--device", "cpu"], 2, "--gpu and --device"),
        (["--device", "tpu"], 2, "--device tpu"),
        (["--device", "sim:nonsense"], 2, "nonsense"),
        (["--device", "cpu", "--window", "-1"], 2, "--window"),
        (["--device", "cpu", "--window", "nan"], 2, "--window"),
        (["--device", "cpu", "--window", "1e99"], 2, "--window"),
        (["--device", "cpu", "--window", "soon"], 2, "--window"),
        (["--device", "cpu", "--grade", "best"], 2, "--grade"),
        (["--device", "cpu", "--model", "gpt-9"], 2, "gpt-9"),
        (["--device", "cpu", "--market", "moon"], 2, "moon"),
        (["--device", "cpu", "--market", "bad.toml"], 2, "bad.toml"),
        (["--device", "cpu", "--set", "btc=-5"], 2, "btc"),
        (["--device", "cpu", "--set", "eth=5"], 2, "eth"),
        (["--device", "cpu", "--asic", "ths=1"], 2, "watts"),
        (["--device", "cpu", "--assume-watts", "0"], 2, "--assume-watts"),
        (["--device", "cpu", "--assume-watts", "5", "--meter", "none"], 2, "exclude"),
        (["--device", "cpu", "--meter", "magic"], 2, "magic"),
        (["--device", "cpu", "--meter", "nvml:0"], 3, "libnvidia-ml"),
        (["--device", "sim:h100", "--meter", "nvml:0"], 2, "simulated device"),
        (["--device", "sim:h100", "--model", "70b"], 2, "70b"),
        (["--device", "cpu", "--seed", "-1"], 2, "--seed"),
        (["--device", "cpu", "--out", "bad.toml/out"], 7, "--out"),
        (["--device", "sim:h100", "--out", "bad.toml"], 7, "--out"),
        (["--device", "sim:h100", "--json", "nowhere/run.json"], 7, "nowhere"),
        (["--device", "sim:h100", "--json", "pipe"], 7, "pipe"),
        (["--device", "sim:h100", "--json", "x" * 5000], 7, "cannot be written"),
        (["--device", "sim:h100", "--window", "86400"], 2, "--window"),
        (["--device", "sim:./[/x].toml"], 2, "x].toml"),
        (["--device", "foo\x1b[31m"], 2, "foo"),
        (["--device", "cpu", "--meter", "x\ny"], 2, "--meter"),
        (["--device", "cpu", "--meter", "assumed:1e308"], 2, "1e308"),
        (["--device", "cpu", "--set", "btc=1e-320"], 2, "btc"),
        (["--device", "cpu", "--set", "power=1e300"], 2, "power"),
        (["--device", "cpu", "--set", "token=1e308"], 2, "token"),
        (["--device", "cpu", "--set", "rent=١٢"], 2, "rent"),
        (["--device", "cpu", "--asic", "ths=1e290,watts=1e-300"], 2, "ths"),
        (["--frobnicate"], 2, "--frobnicate"),
        (["extra"], 2, "extra"),
    ],
)
def test_bad_input_is_one_line_the_right_status_and_nothing_half_written(
    bench, tmp_path, arguments, status, word
):
    (tmp_path / "bad.toml").write_text(BAD_MARKET)
    os.mkfifo(tmp_path / "pipe")
    got, out, err = bench(*arguments)
    assert (got, err.count("\n")) == (status, 1), err
    assert err.startswith("bench: ")
    assert word in err
    assert "Traceback" not in err + out
    assert {p.name for p in tmp_path.rglob("*")} <= {"bad.toml", "pipe"}
    assert err.rstrip("\n").isprintable()


SIMULATED = [
    sys.executable, "-P", "-m", "bench", "all", "--device", "sim:h100", "--grade", "quick",
]  # fmt: skip


def shell(command, cwd, **environment):
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=cwd, check=False,
        env={**os.environ, "RUN": " ".join(SIMULATED), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def kept(folder):
    return [json.loads(path.read_text()) for path in (folder / "results").glob("*.json")]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("$RUN | head -1; exit ${PIPESTATUS[0]}", 0),
        ("$RUN > /dev/full", 0),
        ("$RUN --json - 2> /dev/full", 0),
        ("$RUN --json - > /dev/full", 7),
        ("$RUN --json - >&-", 7),
    ],
)
def test_a_run_outlives_its_reader(tmp_path, command, status):
    got, _, err = shell(command, tmp_path)
    assert got == status, err
    assert len(kept(tmp_path)) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "utf-16"},
        {"COLUMNS": "0"},
        {"TERM": "dumb"},
    ],
)
def test_whatever_the_terminal_the_json_is_json(tmp_path, environment):
    done = subprocess.run(
        [*SIMULATED, "--json", "-"], capture_output=True, cwd=tmp_path, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == kept(tmp_path)[0]
    assert done.stderr


@pytest.mark.parametrize("folder", ["a-file", "/proc/nowhere"])
def test_an_unusable_folder_for_locks_is_named(tmp_path, folder):
    (tmp_path / "a-file").touch()
    got, _, err = shell("$RUN", tmp_path, JOULEMARK_LOCK_DIR=str(tmp_path / folder))
    assert got == 7
    assert err.count("\n") == 1
    assert "JOULEMARK_LOCK_DIR" in err


@pytest.mark.parametrize("cache", ["a-file", "/proc/nowhere"])
def test_a_cache_that_cannot_be_used_costs_no_run(tmp_path, cache):
    (tmp_path / "a-file").touch()
    got, _, err = shell("$RUN", tmp_path, XDG_CACHE_HOME=str(tmp_path / cache))
    assert got == 0, err
    assert kept(tmp_path)


def test_a_full_disk_leaves_no_half_record(tmp_path):
    got, _, err = shell("ulimit -f 100; trap '' XFSZ; $RUN", tmp_path)
    assert got == 7, err
    assert "Traceback" not in err
    assert "--out" in err
    assert kept(tmp_path) == []
    assert not list((tmp_path / "results").glob(".*"))


def test_bench_alone_shows_its_help(capsys):
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_sets_may_be_repeated_or_listed():
    assert spread_sets(["all", "--set", "btc=1", "power=2", "--seed", "1", "x=3"]) == [
        "all", "--set", "btc=1", "--set", "power=2", "--seed", "1", "x=3",
    ]  # fmt: skip
    assert spread_sets(["--set"]) == ["--set"]


def test_strict_refuses_stale_prices_and_required_energy_needs_a_meter(bench):
    assert simulated(bench, "--strict")[0] == 9
    assert simulated(bench, "--meter", "none", "--require-energy")[0] == 4


def test_a_device_in_use_is_not_measured_twice(bench):
    from bench.store import device_lock

    with device_lock("SIM-h100", wait=False):
        status, _, err = bench("--device", "sim:h100")
    assert status == 5
    assert "--wait" in err


def test_a_card_lost_in_mid_run_is_a_failure_of_the_device(tmp_path):
    got, _, err = shell("$RUN --sim-fault lost", tmp_path)
    assert got == 6, err

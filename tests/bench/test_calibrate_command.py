"""``bench calibrate``: a sensor characterised, and corrected against the user's own meter."""

import gzip
import json
from pathlib import Path

import pytest

from bench.catalogue import load_gpu
from bench.cli import calibrating, run
from bench.measure import Outcome
from bench.ports import WorkerError
from bench.records.run import WorkloadFacts
from bench.simulate import card_of

CARD = "sim:h100-pcie"
BEGUN = {"sha256d": WorkloadFacts("sha256d", "cupy", "hash", None, {})}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """(the document, the journal's path) of one calibration of a simulated card."""
    place = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        said = ["--device", CARD, "--seed", "5", "--out", str(place), "--json", str(place / "c")]
        assert run(["calibrate", *said]) == 0
    (journal,) = place.glob("*.samples.jsonl.gz")
    return json.loads((place / "c").read_text()), journal


def facts(journal):
    return [json.loads(line) for line in gzip.decompress(journal.read_bytes()).splitlines()]


def meter_csv(journal, path, *, wall, step_s=0.005):
    """What an exact meter on the card's own supply would have written."""
    lines = facts(journal)
    pair = next(f for f in lines if f["kind"] == "clocks")
    late_s = pair["realtime_s"] - pair["monotonic_s"] if wall else 0.0
    load = [(f["t_s"], f["data"]["level"]) for f in lines if f.get("name") == "load"]
    card = card_of(load_gpu("h100-pcie"))
    rows, at = ["time_s,watts"], 0
    for k in range(int((load[-1][0] - load[0][0]) / step_s)):
        t_s = load[0][0] + k * step_s
        while at + 1 < len(load) and load[at + 1][0] <= t_s:
            at += 1
        watts = card.load_w("sha256d") if load[at][1] else card.idle_w
        rows.append(f"{t_s + late_s:.4f},{watts:.2f}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def card(calibrated, tmp_path, monkeypatch):
    """Concludes that calibration as if it were of a real card: the document it gives."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def conclude(*said, **device):
        opened, *rest = facts(calibrated[1])
        known = {"kind": "gpu", "uuid": "GPU-1", "driver": "535.1", "vbios": "96.00", **device}
        opened["data"]["device"].update(known)
        journal = tmp_path / "card.samples.jsonl"
        journal.write_text("".join(json.dumps(fact) + "\n" for fact in (opened, *rest)))
        out = tmp_path / "found"
        assert run(["calibrate", "--journal", str(journal), *said, "--json", str(out)]) == 0
        return json.loads(out.read_text())

    return conclude


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """The exit status of a calibration whose measuring came to ``outcome``."""

    def end(outcome):
        monkeypatch.setattr(calibrating, "measure", lambda *_: outcome)
        return run(["calibrate", "--device", CARD, "--out", str(tmp_path)])

    return end


def test_it_finds_the_sensor_of_the_profile(calibrated):
    document, _ = calibrated
    sensor = document["sensor"]
    assert sensor["kind"] == "part-time"
    assert sensor["update_s"] == pytest.approx(0.1, rel=0.03)
    assert sensor["window_s"] == pytest.approx(0.025, abs=0.003)
    assert document["calibration"]["residual"] < 0.05
    assert document["calibration"]["counter_ratio"] == pytest.approx(1.0, abs=0.01)
    assert document["calibration"]["steady_ratio"] == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("wall", [True, False])
def test_the_users_meter_gives_gain_and_offset(calibrated, tmp_path, wall):
    _, journal = calibrated
    meter_csv(journal, tmp_path / "pmd.csv", wall=wall)
    said = ["--journal", str(journal), "--against", str(tmp_path / "pmd.csv")]
    assert run(["calibrate", *said, "--json", str(tmp_path / "c")]) == 0
    found = json.loads((tmp_path / "c").read_text())["correction"]
    truth = load_gpu("h100-pcie").sensor.readings["power_instant_w"]
    assert found["gain"] == pytest.approx(truth.gain.value, rel=0.01)
    assert found["offset_w"] == pytest.approx(truth.offset_w.value, abs=3.0)
    assert found["gain_u"] < 0.02
    assert (found["meter"], found["field"]) == ("pmd.csv", "power_instant_w")


def test_a_calibration_without_a_meter_keeps_the_correction_of_that_card(
    card, calibrated, tmp_path, capsys
):
    meter_csv(calibrated[1], tmp_path / "pmd.csv", wall=True)
    corrected = card("--against", str(tmp_path / "pmd.csv"))["correction"]
    capsys.readouterr()
    assert card()["correction"] == corrected
    assert "against pmd.csv" in capsys.readouterr().out
    assert card()["correction"] == corrected, "it was kept once more"
    assert card(driver="550.1")["correction"] is None
    assert card(uuid="GPU-2")["correction"] is None


def test_what_cannot_be_kept_is_told(card, tmp_path, capsys):
    (tmp_path / "cache" / "joulemark").mkdir(parents=True)
    card()
    assert "Kept for later runs on" in capsys.readouterr().out
    card(uuid=None)
    assert "Not kept for later runs on sim:h100-pcie: it has no UUID" in capsys.readouterr().out
    for kept in (tmp_path / "cache" / "joulemark" / "calibrations").iterdir():
        kept.unlink()
    (tmp_path / "cache" / "joulemark" / "calibrations").rmdir()
    (tmp_path / "cache" / "joulemark" / "calibrations").write_text("in the way")
    card()
    said = capsys.readouterr().out
    assert "Not kept for later runs on" in said
    assert str(Path("joulemark", "calibrations")) in said


def test_a_journal_without_a_calibration_is_called_that(stored_run, capsys):
    (journal,) = stored_run.parent.glob("*.samples.jsonl.gz")
    for path, word in ((journal, "holds no finished calibration"), (stored_run.parent, "folder")):
        assert run(["calibrate", "--journal", str(path)]) == 8
        (line,) = capsys.readouterr().err.splitlines()
        assert word in line
        assert "give the .samples.jsonl.gz" in line


@pytest.mark.parametrize(
    ("kind", "workloads", "status"),
    [("missing", {}, 3), ("device", {}, 3), ("device", BEGUN, 6), ("bug", {}, 1)],
)
def test_a_workload_that_never_began_is_the_environments(kind, workloads, status, broken, capsys):
    error = WorkerError(kind, "no driver is found. :")
    assert broken(Outcome(workloads=workloads, failures={"sha256d": error})) == status
    assert capsys.readouterr().err == "bench: sha256d could not go on: no driver is found.\n"


def test_a_meter_that_saw_something_else_is_refused(calibrated, tmp_path, capsys):
    _, journal = calibrated
    rows = ["t,watts", *(f"{k * 0.01:.2f},{200 + (k % 7)}" for k in range(2000))]
    (tmp_path / "other.csv").write_text("\n".join(rows))
    said = ["--journal", str(journal), "--against", str(tmp_path / "other.csv")]
    assert run(["calibrate", *said]) == 8
    (line,) = capsys.readouterr().err.splitlines()
    assert "other.csv" in line


@pytest.mark.parametrize(
    ("said", "status", "word"),
    [
        (["--device", "cpu", "--meter", "none"], 4, "no power sensor"),
        (["--device", "cpu"], 4, "reads no power; calibrate a card"),
        (["--device", "cpu", "--meter", "sim:h100"], 3, "does not read"),
        (["--journal", "/nowhere/x.samples.jsonl"], 8, "/nowhere"),
        (["--gpu", "0", "--device", "cpu"], 2, "exclude"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_a_line(said, status, word, capsys, tmp_path):
    assert run(["calibrate", *said, "--out", str(tmp_path / "out")]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert not list(tmp_path.glob("out/*"))

"""``bench skus`` from arguments to files and exit status. About 15 s."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run

FEW = ["--draws", "200", "--cards", "h100,h200,a100,rtx4090,t4"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a simulated run of an h100, with its journal."""
    home = tmp_path_factory.mktemp("skus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setenv("XDG_RUNTIME_DIR", str(home))
        out = home / "results"
        arguments = ["all", "--device", "sim:h100", "--grade", "quick", "--seed", "1"]
        assert run([*arguments, "--out", str(out), "--no-color"]) == 0
    return next(out.glob("*.json"))


@pytest.fixture
def skus(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run it; the exit status, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "220")

    def called(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(["skus", *arguments, "--no-color"])
        seen = capsys.readouterr()
        return status, seen.out, seen.err

    return called


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document(path)["rows"]}


def test_every_shipped_card_stands_in_the_table(skus: Any, tmp_path: Path) -> None:
    from bench.catalogue import names

    out = tmp_path / "t.json"
    status, shown, _ = skus("--draws", "100", "--json", str(out))
    assert status == 0
    assert set(rows(out)) == set(names("gpus"))
    assert {row["mark"] for row in rows(out).values()} == {"predicted"}
    assert all(name in shown for name in names("gpus"))
    assert shown.count("boundary: facility") == 4


def test_the_same_seed_gives_the_same_table(skus: Any, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(paths, ("7", "7", "8"), strict=True):
        assert skus(*FEW, "--seed", seed, "--json", str(path))[0] == 0
    first, second, third = (path.read_text() for path in paths)
    assert first == second
    assert first != third


def test_old_prices_are_said_and_strict_refuses_them(skus: Any, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    status, shown, _ = skus(*FEW, "--json", str(out))
    assert status == 0
    (line,) = (each for each in shown.splitlines() if each.startswith("STALE card prices"))
    assert "older than 90 days" in line
    assert re.search(r"rtx4090 1,599 USD of 2022-10, \d{4,} days", line)
    stale = document(out)["stale"]
    assert {"card", "rent"} <= {each["kind"] for each in stale}
    assert "t4" not in {each["of"] for each in stale}
    assert skus(*FEW, "--strict")[0] == 9
    assert skus(str(tmp_path / "none.json"), *FEW, "--strict")[0] == 8
    fresh = ["--cards", "rtx2080ti", "--draws", "100", "--strict"]
    status, shown, _ = skus(*fresh)
    assert (status, "STALE" in shown) == (0, False)


def test_json_alone_on_stdout(skus: Any) -> None:
    status, out, err = skus(*FEW, "--json", "-")
    assert status == 0
    found = json.loads(out)
    assert (found["schema"], found["boundary"]) == ("joulemark/skus/1", "facility")
    assert "Work: 8b bf16" in err


def test_the_files(skus: Any, tmp_path: Path) -> None:
    kinds = {"csv": b"# 8b bf16", "markdown": b"**8b bf16", "html": b"<!DOCTYPE", "xlsx": b"PK"}
    wanted = [each for kind in kinds for each in (f"--{kind}", str(tmp_path / kind))]
    status, shown, _ = skus(*FEW, *wanted)
    assert status == 0
    for kind, start in kinds.items():
        assert (tmp_path / kind).read_bytes().startswith(start)
        assert f"Saved {tmp_path / kind}" in shown
    table = (tmp_path / "csv").read_text()
    assert "refused: 8b bf16 needs 16.1 GB" in table
    assert "STALE card prices" in table
    lines = [line.split(",") for line in table.splitlines()]
    head = next(line for line in lines if line[0] == "card")
    (row,) = (line for line in lines if line[0] == "rtx4090")
    assert row[head.index("price as of")] == "2022-10"
    assert row[head.index("rent as of")].startswith("20")
    assert head.count("flags") == 1


def test_a_folder_that_is_not_there_is_one_line(skus: Any, tmp_path: Path) -> None:
    status, _, err = skus(*FEW, "--csv", str(tmp_path / "no" / "t.csv"))
    assert status == 7
    assert err.count("\n") == 1
    assert "cannot be written; name another file" in err
    assert "--csv" in err


def test_a_missing_workbook_library_is_an_environment(
    skus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    status, _, err = skus(*FEW, "--xlsx", str(tmp_path / "t.xlsx"))
    assert status == 3
    assert 'pip install "joulemark[report]"' in err


def test_a_simulated_run_is_marked_and_calibrates_nothing(
    skus: Any, simulated: Path, tmp_path: Path
) -> None:
    plain, taught = tmp_path / "plain.json", tmp_path / "taught.json"
    status, shown, _ = skus(str(simulated), *FEW, "--json", str(plain))
    assert status == 0
    h100 = rows(plain)["h100"]
    assert h100["mark"] == "simulated"
    assert h100["rank"] is None
    assert "h100: tokens moved from 8b bf16 batch 214 context 1536" in shown
    assert document(plain)["learned"] == []
    assert skus(str(simulated), *FEW, "--trust-simulated", "--json", str(taught))[0] == 0
    assert {each["architecture"] for each in document(taught)["learned"]} == {"hopper"}
    before, after = (rows(path)["h200"]["tokens_per_s"]["mid"] for path in (plain, taught))
    assert before != after


def test_a_bad_file_is_named_and_the_others_go_on(
    skus: Any, simulated: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    status, shown, _ = skus(str(bad), str(simulated), *FEW)
    assert status == 8
    assert f"unreadable: {bad}" in shown
    assert "simulated" in shown


def test_a_run_above_its_ceiling_is_refused_with_the_arithmetic(
    skus: Any, simulated: Path, tmp_path: Path
) -> None:
    record = json.loads(simulated.read_text())
    for workload in record["workloads"]:
        if workload["name"] == "sha256d":
            for name, factor in (("units_per_s", 10), ("joules_per_unit", 0.1)):
                figure = workload["metrics"][name]
                figure.update({key: figure[key] * factor for key in ("mid", "lo", "hi")})
    claimed = tmp_path / "claimed.json"
    claimed.write_text(json.dumps(record))
    status, shown, _ = skus(str(claimed), *FEW)
    assert status == 8
    line = next(each for each in shown.splitlines() if each.startswith("refused:"))
    assert "is above 1.02 × the audited ceiling" in line
    assert "132 SMs × 64 lanes × 1980 MHz" in line


def test_the_ceiling_is_that_of_the_sampled_clock(
    skus: Any, simulated: Path, tmp_path: Path
) -> None:
    """A rate 10 % above the ceiling at boost: refused without a journal, and with its clock."""
    record = json.loads(simulated.read_text())
    rate = next(w for w in record["workloads"] if w["name"] == "sha256d")["metrics"]["units_per_s"]
    rate.update({key: rate[key] * 1.15 for key in ("mid", "lo", "hi")})
    claimed = tmp_path / simulated.name
    claimed.write_text(json.dumps(record))
    assert "(boost)" in skus(str(claimed), *FEW)[1]
    journal = simulated.with_name(f"{record['run_id']}.samples.jsonl.gz")
    facts = gzip.decompress(journal.read_bytes()).decode().splitlines()
    for clock_hz, refused in ((1.98e9, True), (2.4e9, False)):
        clock = {"kind": "sample", "t_s": 0.0, "field": "sm_clock_hz", "value": clock_hz}
        beside = tmp_path / journal.name.removesuffix(".gz")
        others = [fact for fact in facts if json.loads(fact).get("field") != "sm_clock_hz"]
        beside.write_text("".join(f"{fact}\n" for fact in (*others, json.dumps(clock))))
        status, shown, _ = skus(str(claimed), *FEW)
        assert status == (8 if refused else 0), shown
        assert ("1980 MHz (sampled)" in shown) == refused


def test_a_run_of_a_cpu_is_no_card(skus: Any, simulated: Path, tmp_path: Path) -> None:
    record = json.loads(simulated.read_text())
    record["device"]["kind"] = "cpu"
    other = tmp_path / "cpu.json"
    other.write_text(json.dumps(record))
    status, shown, _ = skus(str(other), *FEW)
    assert status == 8
    assert "refused:" in shown
    assert "this table compares cards" in shown


def test_like_for_like_gives_all_the_same_batch(skus: Any, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    assert skus(*FEW, "--like-for-like", "--batch", "4", "--json", str(out))[0] == 0
    assert {row["batch"] for row in rows(out).values() if row["batch"]} == {4}


def test_a_tighter_bound_leaves_smaller_batches(skus: Any, tmp_path: Path) -> None:
    wide, tight = tmp_path / "w.json", tmp_path / "t.json"
    assert skus(*FEW, "--best-under", "TPOT=0.05s", "--json", str(wide))[0] == 0
    assert skus(*FEW, "--best-under", "tpot=20ms", "--json", str(tight))[0] == 0
    assert rows(tight)["h200"]["batch"] < rows(wide)["h200"]["batch"]
    assert "even batch 1 takes longer than 20 ms" in rows(tight)["rtx4090"]["why_not"]


def test_a_price_given_ends_no_market(skus: Any, tmp_path: Path) -> None:
    none, given = tmp_path / "n.json", tmp_path / "g.json"
    status, shown, _ = skus(*FEW, "--model", "1b", "--json", str(none))
    assert status == 0
    assert "NO MARKET for 1b" in shown
    assert rows(none)["h100"]["money"]["p_loss"] is None
    assert rows(none)["h100"]["money"]["token_price_usd"]["mid"] > 0
    assert skus(*FEW, "--model", "1b", "--set", "token=0.05", "--json", str(given))[0] == 0
    assert rows(given)["h100"]["money"]["revenue_usd_per_j"]["mid"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--like-for-like", "--best-under", "TPOT=50ms"], "choose one of them"),
        (["--batch", "8"], "--batch belongs to --like-for-like"),
        (["--best-under", "50"], "write it as TPOT=50ms"),
        (["--best-under", "TPOT=0ms"], "write it as TPOT=50ms"),
        (["--mix", "1024"], "such as 1024/1024"),
        (["--mix", "0/8"], "such as 1024/1024"),
        (["--mix", "200000/8"], "more than the 131072"),
        (["--cards", "h10"], "h100"),
        (["--cards", ","], "names no card"),
        (["--model", "9b"], "8b"),
        (["--market", "nowhere"], "default"),
        (["--set", "token=-1"], "token"),
        (["--precision", "fp6"], "precision"),
        (["--draws", "1"], "draws"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(skus: Any, arguments: list[str], said: str) -> None:
    status, _, err = skus(*arguments)
    assert status == 2
    assert err.count("\n") == 1
    assert said in err

"""``bench card``: what it states, what it leaves null and why, and when there is no card."""

import gzip
import hashlib
import json
import re
import shutil
from dataclasses import fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import get_type_hints

import jsonschema
import pytest

from bench.cli import run
from bench.compute_card import compute_card, offered
from bench.records.compute_card import ComputeCard, InferenceXRow, Telemetry
from bench.records.run import Validity
from bench.store import card_json, card_schema, load

SCHEMA = json.loads(files("bench.schema").joinpath("card-1.json").read_text(encoding="utf-8"))
TERMS = ["--price", "2.5", "--lease-term", "12mo", "--utilisation", "80%"]
STATED = offered(2.5, "P12M", 0.8)
UNSTATED = offered(None, None, None)
ABSENT = Telemetry("absent", "x.samples.jsonl", None, {"sha256": "the record states none"})
DOC = Path(__file__).parents[2] / "docs" / "card.md"


@pytest.fixture
def bench(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = run(["card", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def stored(stored_run, tmp_path):
    """A copy of the record, its journal beside it."""
    folder = tmp_path / "results"
    folder.mkdir()
    for path in stored_run.parent.glob(f"{stored_run.stem}*"):
        shutil.copy(path, folder)
    return folder / stored_run.name


def journal_of(record):
    return record.with_name(f"{record.stem}.samples.jsonl.gz")


def edited(path, change):
    """The record changed in place."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def measured(record, **changes):
    """The record as a real card's would be."""
    device = replace(record.device, kind="gpu", name="NVIDIA H100 80GB HBM3", truth=None)
    works = tuple(
        replace(work, metrics=replace(work.metrics, joules_source="measured-counter", **changes))
        for work in record.workloads
    )
    return replace(record, device=device, workloads=works)


def made(record, offer=STATED, telemetry=ABSENT):
    card = compute_card(record, offer, telemetry, made_at="2026-11-23T00:00:00Z", made_by="0")
    document = json.loads(card_json(card))
    jsonschema.validate(document, SCHEMA)
    every_null_has_a_reason(document)
    return document


def every_null_has_a_reason(noun):
    if isinstance(noun, list):
        for each in noun:
            every_null_has_a_reason(each)
    elif isinstance(noun, dict):
        nulls = {name for name, value in noun.items() if value is None}
        reasons = noun.get("reasons", {})
        assert reasons.keys() == nulls
        assert all(reasons.values())
        for value in noun.values():
            every_null_has_a_reason(value)


def test_a_card_states_the_terms_and_the_run(bench, stored):
    status, out, err = bench(stored, *TERMS)
    card, record = json.loads(out), json.loads(stored.read_text())
    assert status == 0
    jsonschema.validate(card, SCHEMA)
    every_null_has_a_reason(card)
    assert card["offer"] == {
        "price_usd_per_device_hour": 2.5,
        "lease_term": "P12M",
        "utilisation": 0.8,
        "reasons": {},
    }
    assert card["signed"] is False
    assert card["run"]["run_id"] == record["run_id"]
    assert card["device"]["power_limit_w"] == 700
    assert card["validity"] == record["validity"]
    hashes, tokens = card["workloads"]
    theirs = record["workloads"][1]["metrics"]
    assert hashes["unit"] == "hash"
    assert hashes["inferencex"] is None
    assert tokens["units_per_s"] == theirs["units_per_s"]
    assert tokens["energy"]["boundary"] == "board"
    assert tokens["energy"]["source"] == "simulated"
    assert tokens["energy"]["joules_per_unit_absolute"] == theirs["joules_per_unit_absolute"]
    assert (tokens["model"], tokens["precision"], tokens["tier"]) == ("Llama-3.1-8B", "bf16", "T1")
    assert tokens["slo"]["met"] is (theirs["tpot_s"]["p99"] <= 0.05)
    per_hour = 3600 * 0.8 * theirs["units_per_s"]["mid"]
    assert tokens["usd_per_mtok"] == pytest.approx(2.5 / per_hour * 1e6)
    assert "$2.50 a device-hour, term P12M, utilisation 80 %" in err
    assert "labelled (UNRANKED, SIMULATED)" in err


def test_the_telemetry_is_the_journal_beside_it(bench, stored):
    status, out, _ = bench(stored)
    told = json.loads(out)["telemetry"]
    journal = journal_of(stored)
    assert status == 0
    assert told["status"] == "verified"
    assert told["journal"] == journal.name
    assert told["sha256"] == hashlib.sha256(gzip.decompress(journal.read_bytes())).hexdigest()


def test_without_a_journal_the_hash_is_the_records_word(bench, stored):
    journal_of(stored).unlink()
    status, out, err = bench(stored)
    told = json.loads(out)["telemetry"]
    assert status == 0
    assert told["status"] == "absent"
    assert told["sha256"] == json.loads(stored.read_text())["journal_sha256"]
    assert "not beside it" in err
    edited(stored, lambda record: record.update(journal_sha256=None))
    told = json.loads(bench(stored)[1])["telemetry"]
    assert told["sha256"] is None
    assert told["reasons"] == {"sha256": "the record states none"}


def more_tokens(record):
    for end in ("mid", "lo", "hi"):
        record["workloads"][1]["metrics"]["units_per_s"][end] *= 1.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (more_tokens, "workloads.1.metrics.units_per_s"),
        (lambda record: record.update(journal_sha256="0" * 64), "journal_sha256"),
        (lambda record: record.update(journal_sha256=None), "journal_sha256"),
        (lambda record: record["validity"].update(codes=[]), "validity"),
    ],
)
def test_no_card_is_made_of_a_record_that_its_journal_contradicts(bench, stored, change, said):
    edited(stored, change)
    status, out, err = bench(stored, "--json", "card.json")
    assert (status, out) == (8, "")
    assert said.split(".")[0] in err
    assert "bench verify" in err
    assert err.count("\n") == 1
    assert not Path("card.json").exists()


def test_nor_of_one_whose_journal_cannot_be_read(bench, stored):
    journal_of(stored).write_bytes(b"\x1f\x8b broken")
    status, out, err = bench(stored)
    assert (status, out) == (8, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize("standing", ["invalid", "incomplete"])
def test_a_card_of_a_run_that_is_not_to_be_trusted_says_so(bench, stored, standing):
    code = {"name": "THROTTLED", "text": "heat slowed it: cool it", "fatal": True}
    journal_of(stored).unlink()
    edited(stored, lambda record: record["validity"].update(status=standing, codes=[code]))
    status, out, err = bench(stored, *TERMS)
    card = json.loads(out)
    assert status == 9
    assert err.startswith(f"{standing.upper()}: ")
    assert card["validity"] == {"status": standing, "codes": [code]}
    assert [work["inferencex"] for work in card["workloads"]] == [None, None]
    every_null_has_a_reason(card)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--price", bad) for bad in ("0", "-1", "nan", "inf", "1e999", "1e7", "free", "1e-9")),
        *(("--utilisation", bad) for bad in ("0", "-0.1", "1.01", "101%", "nan", "%", "\x1b[2J")),
        *(("--lease-term", bad) for bad in ("12", "0mo", "-1y", "1.5y", "101y", "9999999d", "é")),
    ],
)
def test_terms_that_cannot_be_meant_are_refused_in_one_line(bench, stored, option, value):
    status, out, err = bench(stored, f"{option}={value}")
    assert (status, out) == (2, "")
    assert option in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("terms", "field", "stated"),
    [
        ("--utilisation=1", "utilisation", 1.0),
        ("--utilisation=12.5%", "utilisation", 0.125),
        ("--lease-term=72h", "lease_term", "PT72H"),
        ("--lease-term=007d", "lease_term", "P7D"),
        ("--lease-term=3y", "lease_term", "P3Y"),
        ("--price=1e6", "price_usd_per_device_hour", 1e6),
    ],
)
def test_terms_as_they_are_stated(bench, stored, terms, field, stated):
    journal_of(stored).unlink()
    status, out, _ = bench(stored, terms)
    offer = json.loads(out)["offer"]
    reasons = offer.pop("reasons")
    assert status == 0
    assert offer.pop(field) == stated
    assert offer == dict.fromkeys(reasons)


@pytest.mark.parametrize("text", ["", "[" * 9999, '{"schema": "joulemark/run/9"}', '{"a": NaN}'])
def test_a_file_that_is_no_record(bench, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    status, out, err = bench("x.json")
    assert (status, out) == (8, "")
    assert "x.json" in err
    assert err.count("\n") == 1


def test_a_run_is_found_by_the_beginning_of_its_id(bench, stored):
    assert bench(stored.stem[:12])[0] == 0
    assert bench(stored.stem[:12], "--in", "elsewhere")[0] == 8


def test_neither_record_nor_journal_is_written_over(bench, stored):
    before = [stored.read_bytes(), journal_of(stored).read_bytes()]
    for path in (stored, journal_of(stored)):
        status, out, err = bench(stored, "--json", path)
        assert (status, out) == (2, "")
        assert "is an input too" in err
    assert [stored.read_bytes(), journal_of(stored).read_bytes()] == before
    assert bench(stored, "--json", "nowhere/card.json")[0] == 7


def test_foreign_text_reaches_no_terminal(bench, stored):
    journal_of(stored).unlink()
    edited(stored, lambda record: record["device"].update(name="x\x1b[31m\u202e\x9b2Jred"))
    status, out, err = bench(stored)
    assert status == 0
    assert json.loads(out)["device"]["name"] == "x\x1b[31m\u202e\x9b2Jred"
    assert not {"\x1b", "\u202e", "\x9b"} & {*out, *err}


def test_an_inferencex_row_of_a_measured_card(stored_run):
    record = measured(load(stored_run))
    work = record.workloads[1]
    mix = {"in_tokens": 2048, "out_tokens": 512}
    work = replace(work, config={**work.config, "mix": mix})
    card = made(replace(record, workloads=(record.workloads[0], work)))
    row = card["workloads"][1]["inferencex"]
    rate, joules = work.metrics.units_per_s.mid, work.metrics.joules_per_unit.mid
    assert (row["hw"], row["framework"], row["conc"]) == ("h100", "joulemark", 214)
    assert (row["isl"], row["osl"], row["power_valid"]) == (2048, 512, 1)
    assert row["output_tput_per_gpu"] == rate
    assert row["input_tput_per_gpu"] == pytest.approx(4 * rate)
    assert row["tput_per_gpu"] == pytest.approx(5 * rate)
    assert row["joules_per_output_token"] == joules
    assert row["joules_per_input_token"] == pytest.approx(joules / 4)
    assert row["joules_per_total_token"] == pytest.approx(joules / 5)
    assert row["avg_power_w"] == work.metrics.watts.mid
    assert row["p99_intvty"] == pytest.approx(1 / work.metrics.tpot_s["p99"])
    assert row["reasons"] == {}


def test_joules_that_were_not_measured_are_no_power_of_inferencex(stored_run):
    row = made(load(stored_run))["workloads"][1]["inferencex"]
    assert (row["hw"], row["power_valid"]) == ("sim:h100", 0)
    assert row["joules_per_output_token"] is None
    record = measured(load(stored_run), boundary="package")
    row = made(record)["workloads"][1]["inferencex"]
    assert "package" in row["reasons"]["avg_power_w"]


def of_a_cpu(record):
    return replace(record, device=replace(record.device, kind="cpu"))


def incomplete(record):
    return replace(record, validity=Validity("incomplete", ()))


def with_config(record, **config):
    work = record.workloads[1]
    return replace(record, workloads=(replace(work, config={**work.config, **config}),))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_a_cpu, "GPUs"),
        (incomplete, "incomplete"),
        (lambda record: with_config(record, mix=None), "requests"),
        (lambda record: with_config(record, mix={"in_tokens": 1e308, "out_tokens": 1}), "1e+308"),
        (lambda record: with_config(record, mix={"in_tokens": -5, "out_tokens": 1}), "-5"),
    ],
)
def test_where_there_is_no_row_the_card_says_why(stored_run, change, said):
    work = made(change(measured(load(stored_run))))["workloads"][-1]
    assert work["inferencex"] is None
    assert said in work["reasons"]["inferencex"]


def test_a_server_tells_less(stored_run):
    record = with_config(
        measured(load(stored_run)), engine=None, precision=None, batch=None, slo_tpot_s=None
    )
    (work,) = record.workloads
    server = replace(work, name="endpoint", backend="endpoint", tier="T2")
    card = made(replace(record, workloads=(server,)), UNSTATED)
    (told,) = card["workloads"]
    assert told["slo"] is None
    assert "--price" in told["reasons"]["usd_per_mtok"]
    missing = {"framework", "precision", "conc", "tp", "disagg"}
    assert told["inferencex"]["reasons"].keys() == missing
    engine = replace(server, config={**server.config, "engine": "vllm", "concurrency": 16})
    row = made(replace(record, workloads=(engine,)))["workloads"][0]["inferencex"]
    assert (row["framework"], row["conc"]) == ("vllm", 16)


def test_a_run_without_joules_and_rates(stored_run):
    blank = dict.fromkeys(
        ("units_per_s", "watts", "joules_per_unit", "joules_per_unit_absolute", "ttft_s", "tpot_s")
    )
    card = made(measured(load(stored_run), **blank, reason="no meter"))
    for work in card["workloads"]:
        assert work["reasons"]["units_per_s"] == "no meter"
        assert work["energy"]["reasons"]["joules_per_unit"] == "no meter"
    assert card["workloads"][1]["slo"]["met"] is None


@pytest.mark.parametrize("odd", [{"tpot_s": {"p50": "x"}}, {"itl_s": {"p50": True}}])
def test_odd_figures_of_a_workload_are_unknown(stored_run, odd):
    work = made(measured(load(stored_run), **odd))["workloads"][1]
    (name,) = odd
    assert work[name] is None


def test_the_shipped_schema_is_the_cards_own():
    assert card_schema() == SCHEMA
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "joulemark/card/1"}, SCHEMA)


def field_names(noun):
    for field in fields(noun):
        yield field.name
        hint = get_type_hints(noun)[field.name]
        for part in (hint, *getattr(hint, "__args__", ())):
            if is_dataclass(part):
                yield from field_names(part)


def test_the_page_names_every_field():
    text = DOC.read_text(encoding="utf-8")
    names = {*field_names(ComputeCard), *field_names(InferenceXRow)}
    assert {"offer", "usd_per_mtok", "p99_intvty", "joules_per_unit"} <= names
    shown = {word for code in re.findall(r"`([^`]*)`", text) for word in re.findall(r"\w+", code)}
    assert not names - shown

"""``bench list | show | recover | migrate``: what they say, leave alone and end with."""

import errno
import gzip
import json
import os
import shutil

import pytest

from bench.cli import run
from bench.records.record import SCHEMA
from bench.store import BadRecord, load, migrate
from bench.store.listing import read_row


@pytest.fixture
def bench(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = run([str(each) for each in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def folder(tmp_path, stored_run):
    """Three runs, the last of another day, device and outcome."""
    place = tmp_path / "results"
    place.mkdir()
    text = json.loads(stored_run.read_text())
    for number in range(3):
        text["run_id"] = f"2026010{number + 1}t000000z-00000{number}"
        text["started_at"] = f"2026-01-0{number + 1}T00:00:00Z"
        if number == 2:
            text["device"]["name"] = "x\x1b[31m\u202ered"
            text["workloads"] = text["workloads"][:1]
            text["workloads"][0]["metrics"]["joules_per_unit"] = None
            text["validity"]["status"] = "invalid"
        (place / f"{text['run_id']}.json").write_text(json.dumps(text))
    return place


def runs_of(out):
    return [line.split()[0] for line in out.splitlines() if line.startswith("2026")]


def test_the_newest_comes_first_with_its_figures(bench, folder):
    status, out, _ = bench("list")
    assert status == 0
    assert runs_of(out) == [f"2026010{k}t000000z-00000{k - 1}" for k in (3, 2, 1)]
    heading, first, second, third, *_ = out.splitlines()
    assert heading.split()[:4] == ["run", "date", "device", "grade"]
    assert "\x1b" not in first
    assert "\u202e" not in first
    assert first.split()[-1] == "–"
    row = read_row(folder / "20260102t000000z-000001.json")
    assert [work.name for work in row.works] == ["sha256d", "serve"]
    assert "GH/s" in second
    assert second.rstrip().endswith("nJ/hash")
    assert "tok/s" in third
    assert "mJ/token" in third


@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--device", "H100"], [2, 1]),
        (["--workload", "serve"], [2, 1]),
        (["--status", "invalid"], [3]),
        (["--since", "2026-01-02"], [3, 2]),
        (["--since", "2026-01-02T00:00:01"], [3]),
        (["--since", "1d"], []),
        (["--limit", "1"], [3]),
        (["--limit", "0"], [3, 2, 1]),
    ],
)
def test_runs_are_chosen(bench, folder, options, days):
    status, out, _ = bench("list", folder, *options)
    assert status == 0
    assert [int(run_id[6:8]) for run_id in runs_of(out)] == days
    assert ("older: --limit 0" in out) == (options == ["--limit", "1"])


@pytest.mark.parametrize("options", [["--since", "soon"], ["--limit", "-1"]])
def test_a_choice_that_cannot_be_meant_is_refused(bench, folder, options):
    status, _, err = bench("list", folder, *options)
    assert status == 2
    assert options[0] in err
    assert err.count("\n") == 1


def test_the_list_as_json(bench, folder):
    (folder / "lost.samples.jsonl").write_text("{}\n")
    status, out, err = bench("list", "--json", "-")
    listed = json.loads(out)
    assert status == 0
    assert listed["schema"] == "joulemark/list/1"
    assert [each["run_id"][:8] for each in listed["runs"]] == ["20260103", "20260102", "20260101"]
    assert listed["runs"][0]["works"][0]["joules_per_unit"] is None
    assert listed["without_record"] == ["results/lost.samples.jsonl"]
    assert "bench recover" in err


@pytest.mark.parametrize(
    "text",
    ["", "[" * 100_000, '{"schema":"joulemark/run/9"}', '{"schema":"joulemark/run/1"}', "\ud800"],
)
def test_a_bad_file_is_named_and_the_others_are_listed(bench, folder, text):
    (folder / "bad.json").write_text(text, errors="surrogatepass")
    status, out, _ = bench("list")
    assert status == 8
    assert len(runs_of(out)) == 3
    (line,) = [line for line in out.splitlines() if line.startswith("unreadable")]
    assert "bad.json" in line


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("run_id",), "../../etc"),
        (("started_at",), "2026-01-01"),
        (("validity", "status"), "fine"),
        (("workloads", 0, "metrics", "units_per_s", "mid"), -1.0),
        (("workloads", 0, "metrics", "joules_per_unit", "mid"), 1e300),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_line_is_not_read_from_what_load_refuses(folder, place, value, indent):
    path = folder / "20260101t000000z-000000.json"
    text = json.loads(path.read_text())
    part = text
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_text(json.dumps(text, indent=indent) + "\n")
    with pytest.raises(BadRecord):
        load(path)
    with pytest.raises(BadRecord):
        read_row(path)


def test_a_torn_record_is_not_listed(stored_run, tmp_path):
    data = stored_run.read_bytes()
    lines = data.splitlines(keepends=True)
    torn = tmp_path / "torn.json"
    for broken in (
        data[: len(data) // 2],
        data[:-2],
        data[:40_000] + bytes(4096) + data[44_096:],
        b"".join(lines[:900] + lines[1900:]),
        b"".join(lines[:-2] + lines),
        data.replace(b'  "market": {', b'  "market": [', 1),
        data.replace(b"Antminer", b"Ant\xffiner", 1),
    ):
        torn.write_bytes(broken)
        with pytest.raises(BadRecord):
            read_row(torn)


@pytest.mark.usefixtures("folder")
def test_a_folder_that_cannot_be_read_is_named(bench, monkeypatch):
    def closed(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", closed)
    for command in (("list",), ("recover",), ("show", "2026")):
        status, _, err = bench(*command)
        assert (command, status) == (command, 8)
        assert "bug in bench" not in err


@pytest.mark.parametrize(("command", "status"), [("recover", 8), ("list", 8), ("show", 2)])
def test_a_path_that_cannot_be_looked_at_is_refused(bench, command, status):
    """As below a folder that is closed to us, what ``Path`` raises for."""
    got, out, err = bench(command, "x" * 300)
    assert got == status
    assert "bug in bench" not in err
    assert "x" * 300 in out + err


def test_a_full_disk_loses_nothing_and_names_a_cure_there_is(bench, killed, monkeypatch):
    plain, _ = killed
    before = {path: path.read_bytes() for path in plain.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    status, _, err = bench("recover", plain)
    assert status == 7
    assert "No space left" in err
    assert "--out" not in err
    assert {path: path.read_bytes() for path in plain.iterdir()} == before


def test_other_formats_in_a_folder_are_passed_over_but_not_when_named(bench, folder):
    other = folder / "x.stretch.json"
    other.write_text('{"schema": "joulemark/stretch/1"}')
    assert bench("list")[0] == 0
    status, out, _ = bench("list", other)
    assert status == 8
    assert "x.stretch.json" in out


def test_an_empty_folder_says_what_makes_a_run(bench):
    status, out, _ = bench("list", ".")
    assert (status, runs_of(out)) == (0, [])
    assert "bench all" in out


def test_one_run_is_shown_whole_by_the_beginning_of_its_id(bench, folder):
    status, out, _ = bench("show", "20260102")
    record = load(folder / "20260102t000000z-000001.json")
    flat = " ".join(out.split())
    assert status == 0
    assert f"Run {record.run_id}" in out
    assert record.verdict.sentence in flat
    assert record.validity.codes
    for code in record.validity.codes:
        assert f"{code.name}: {code.text}" in flat
    assert bench("show", f"results/{record.run_id}.json")[1] == out


def test_one_run_as_json_is_its_record(bench, folder):
    path = folder / "20260101t000000z-000000.json"
    status, out, _ = bench("show", path, "--json", "-")
    assert status == 0
    assert json.loads(out) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [("2026", 2, "fits 3 runs"), ("1999", 8, "no run in results"), ("../x", 2, "run id")],
)
@pytest.mark.usefixtures("folder")
def test_what_names_no_one_run_is_refused(bench, asked, status, said):
    got, _, err = bench("show", asked)
    assert got == status
    assert said in err
    assert err.count("\n") == 1


@pytest.fixture
def killed(tmp_path, stored_run):
    """A journal cut off in the middle of a line, packed and plain, each in its folder."""
    name = f"{stored_run.stem}.samples.jsonl"
    data = gzip.decompress(stored_run.with_name(f"{name}.gz").read_bytes())
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.mkdir()
    packed.mkdir()
    (plain / name).write_bytes(data[: len(data) * 3 // 4])
    shutil.copy(stored_run.with_name(f"{name}.gz"), packed)
    return plain, packed


def test_killed_runs_are_recovered_and_verify(bench, killed, stored_run):
    plain, packed = killed
    before = {path: path.read_bytes() for place in killed for path in place.iterdir()}
    status, out, _ = bench("recover", plain, packed)
    assert status == 0
    assert "2 records made of 2 looked at" in out
    cut = load(plain / stored_run.name)
    assert cut.validity.status == "incomplete"
    assert "INTERRUPTED" in {code.name for code in cut.validity.codes}
    whole, original = load(packed / stored_run.name), load(stored_run)
    assert whole.validity == original.validity
    assert whole.workloads == original.workloads
    assert bench("verify", plain / stored_run.name, packed / stored_run.name)[0] == 0
    assert {path: path.read_bytes() for path in before} == before
    records = {place: (place / stored_run.name).read_bytes() for place in killed}
    assert "0 records made of 2" in bench("recover", plain, packed)[1]
    assert {place: (place / stored_run.name).read_bytes() for place in killed} == records


def test_what_gives_no_record_is_named_and_the_others_go_on(bench, killed, stored_run):
    plain, _ = killed
    (plain / "torn-0001.samples.jsonl.gz").write_bytes(b"\x1f\x8b\x08junk")
    (plain / "quiet-001.samples.jsonl").write_text("")
    (good,) = plain.glob("2*.jsonl")
    shutil.copy(good, plain / "renamed-1.samples.jsonl")
    status, out, _ = bench("recover", plain)
    assert status == 8
    assert (plain / stored_run.name).exists()
    bad = [line for line in out.splitlines() if line.startswith("unreadable")]
    assert len(bad) == 2
    assert "give it its own name back" in " ".join(bad)
    assert bench("recover", plain / "absent.samples.jsonl")[0] == 8


def test_a_record_of_this_version_needs_no_migration(bench, folder):
    before = sorted(folder.iterdir())
    status, out, _ = bench("migrate", *before)
    assert status == 0
    assert out.count("nothing to do") == 3
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("schema", "said"),
    [("joulemark/run/2", "update joulemark"), ("joulemark/run/0", "no step"), ("x", "is not")],
)
def test_what_cannot_be_migrated_is_refused_in_one_line(bench, folder, schema, said):
    path = folder / "20260101t000000z-000000.json"
    path.write_text(path.read_text().replace(SCHEMA, schema, 1))
    status, out, _ = bench("migrate", path)
    assert status == 8
    assert said in out.splitlines()[0]


def test_an_older_record_is_rewritten_beside_and_never_over(folder):
    """By a step as a later version will have it; there is no older schema yet."""
    path = folder / "20260101t000000z-000000.json"
    now = json.loads(path.read_text())
    old = {**now, "schema": "joulemark/run/0", "machine": now["host"]}
    del old["host"]
    path.write_text(json.dumps(old))
    with pytest.raises(BadRecord, match="bench migrate"):
        load(path)
    before = path.read_bytes()
    made = migrate(path, {0: lambda found: {"host": found.pop("machine"), **found}})
    assert made.name == "20260101t000000z-000000.run-1.json"
    assert json.loads(made.read_text()) == now
    assert path.read_bytes() == before

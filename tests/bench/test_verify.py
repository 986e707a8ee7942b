"""``bench verify``: a run's own record stands, and every forged figure of it is named."""

import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench.cli.verifying
from bench.cli import run
from bench.cli.verifying import verify
from bench.store import read_journal


@dataclass
class Copy:
    """A run's two files to tamper with."""

    record: Path
    journal: Path

    def edit(self, change):
        """Change the record's document."""
        document = json.loads(self.record.read_text())
        change(document)
        self.record.write_text(json.dumps(document))

    def edit_lines(self, change, *, rehash):
        """Change the journal's lines; a careful forger gives the record their new hash."""
        lines = [
            json.loads(line)
            for line in gzip.decompress(self.journal.read_bytes()).split(b"\n")[:-1]
        ]
        changed = change(lines)
        text = "".join(json.dumps(line) + "\n" for line in (lines if changed is None else changed))
        self.journal.write_bytes(gzip.compress(text.encode()))
        if rehash:
            sha = hashlib.sha256(text.encode()).hexdigest()
            self.edit(lambda document: document.update(journal_sha256=sha))

    def paths(self):
        """Where the record differs from what its journal gives."""
        found = verify(self.record)
        assert found.status == "different", found
        return [each.path for each in found.differences]


@pytest.fixture
def copy(stored_run, tmp_path):
    names = [stored_run, stored_run.with_name(f"{stored_run.stem}.samples.jsonl.gz")]
    return Copy(*(Path(shutil.copy(name, tmp_path)) for name in names))


def test_a_run_is_verified(copy, capsys):
    assert run(["verify", str(copy.record)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"verified: {copy.record}")
    assert said.err == ""


def test_a_plain_journal_and_a_link_will_do(copy, tmp_path):
    plain = copy.journal.with_suffix("")
    plain.write_bytes(gzip.decompress(copy.journal.read_bytes()))
    copy.journal.unlink()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.json"
    link.symlink_to(copy.record)
    assert verify(copy.record).status == "verified"
    assert verify(link).status == "verified"


def put(*path):
    """Set the last of ``path`` at the place that the others lead to."""
    *way, last, value = path

    def change(document):
        for step in way:
            document = document[step]
        assert document[last] != value
        document[last] = value

    return change


def drop(*path):
    *way, last = path

    def change(document):
        for step in way:
            document = document[step]
        del document[last]

    return change


def scale(*path, factor=1.01):
    *way, last = path

    def change(document):
        for step in way:
            document = document[step]
        document[last] *= factor

    return change


W = ("workloads", 0)
M = (*W, "metrics")
FORGED = {
    "verdict.code": put("verdict", "code", "MINE"),
    "verdict.label": put("verdict", "label", "robust"),
    "verdict.sentence": put("verdict", "sentence", "MINE (robust, P 1.00)."),
    "verdict.probability": put("verdict", "probability", 0.999),
    "verdict.options[1].usd_per_kwh.mid": scale("verdict", "options", 1, "usd_per_kwh", "mid"),
    "verdict.options[3]": drop("verdict", "options", 3),
    "verdict.stale": put("verdict", "stale", False),
    "workloads[0].metrics.units_per_s.mid": scale(*M, "units_per_s", "mid", factor=1 + 1e-8),
    "workloads[0].metrics.joules_per_unit.lo": scale(*M, "joules_per_unit", "lo", factor=0.999),
    "workloads[0].metrics.joules_source": put(*M, "joules_source", "measured-counter"),
    "workloads[0].windows[0].integral_j": scale(*W, "windows", 0, "integral_j"),
    "workloads[0].windows[3]": drop(*W, "windows", 3),
    "workloads[0].verified.checks[0].passed": put(*W, "verified", "checks", 0, "passed", False),
    "workloads[0].verified.checks[0].detail": put(*W, "verified", "checks", 0, "detail", "all"),
    "workloads[0].backend": put(*W, "backend", "numba-cpu"),
    "workloads[0].config.kernel": put(*W, "config", "kernel", "thrifty"),
    "validity.status": put("validity", "status", "valid"),
    "validity.codes[0]": put("validity", "codes", []),
    "idle.watts.mid": scale("idle", "watts", "mid"),
    "device.truth.sha256d.joules_per_unit": scale(
        "device", "truth", "sha256d", "joules_per_unit", factor=0.5
    ),
    "device.kind": put("device", "kind", "gpu"),
    "plan.grade": put("plan", "grade", "publish"),
    "plan.seed": put("plan", "seed", 2),
    "plan.steps[0]": put("plan", "steps", []),
    "meter.source": put("meter", "source", "nvml-counter"),
    "meter.constant_w": put("meter", "constant_w", 5.0),
    "started_at": put("started_at", "2026-01-01T00:00:00Z"),
    "finished_at": put("finished_at", "2026-06-27T00:00:00Z"),
    "software.kernel_sha256.x": put("software", "kernel_sha256", {"x": "00"}),
    "journal_sha256": put("journal_sha256", None),
    "market.name": put("market", "name", "official"),
    "market.btc_usd.value": scale("market", "btc_usd", "value"),
    "profiles.asics[0].watts.value": scale("profiles", "asics", 0, "watts", "value"),
    "host.cpu": put("host", "cpu", "a faster one"),
}  # fmt: skip


@pytest.mark.parametrize("path", FORGED)
def test_a_forged_figure_is_named(copy, path):
    copy.edit(FORGED[path])
    assert path in copy.paths()


def test_a_market_changed_behind_the_verdict_is_named(copy):
    copy.edit(scale("market", "power_usd_per_j", "value", factor=3.0))
    copy.edit(lambda document: document["market"]["power_usd_per_j"].update(low=None, high=None))
    assert "market.power_usd_per_j.value" in copy.paths()


def test_the_same_run_under_another_name_is_named(copy):
    other = "20260101t000000z-abcdef"
    copy.edit(put("run_id", other))
    here = copy.record.parent
    record = copy.record.rename(here / f"{other}.json")
    copy.journal.rename(here / f"{other}.samples.jsonl.gz")
    assert "run_id" in [found.path for found in verify(record).differences]


def kind(lines, wanted, **fields):
    """The lines of a kind whose fields are so."""
    return [
        line
        for line in lines
        if line["kind"] == wanted and all(line.get(k) == v for k, v in fields.items())
    ]


def event(lines, name):
    return kind(lines, "event", name=name)[0]["data"]


def change_power(lines):
    block = kind(lines, "span", phase="block")[0]
    inside = (x for x in kind(lines, "sample") if block["start_s"] < x["t_s"] < block["end_s"])
    for sample in inside:
        if sample["field"].startswith("power_"):
            sample["value"] *= 0.9


LINES = {
    "power in a block": (change_power, "workloads[0].windows[0].integral_j"),
    "a block left out": (
        lambda lines: lines.remove(kind(lines, "span", phase="block")[0]),
        "workloads[0].windows[3]",
    ),
    "a mark": (
        lambda lines: [x for x in lines if x["kind"] != "progress" or x["workload"] != "serve"],
        "workloads[1].metrics.units_per_s",
    ),
    "a check": (
        lambda lines: event(lines, "checks")["checks"][0].update(passed=False),
        "workloads[0].verified.passed",
    ),
    "a failure": (
        lambda lines: [
            *lines,
            {
                "kind": "event",
                "t_s": 1.0,
                "name": "failed",
                "data": {"workload": "serve", "failure": "device", "text": "x"},
            },
        ],
        "validity.status",
    ),
    "an interruption": (
        lambda lines: [
            *lines,
            {"kind": "event", "t_s": 1.0, "name": "interrupted", "data": {"signal": 2}},
        ],
        "validity.status",
    ),
    "the plan": (lambda lines: event(lines, "opened")["plan"].update(seed=77), "plan.seed"),
    "the truth": (
        lambda lines: event(lines, "opened")["device"].update(truth=None),
        "device.truth",
    ),
    "a prepared workload": (
        lambda lines: event(lines, "prepared").update(tier="T9"),
        "workloads[0].tier",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
@pytest.mark.parametrize("rehash", [False, True])
def test_a_changed_journal_is_seen_in_what_follows_from_it(copy, what, rehash):
    change, path = LINES[what]
    copy.edit_lines(change, rehash=rehash)
    paths = copy.paths()
    assert path in paths
    assert ("journal_sha256" in paths) != rehash


def test_a_line_that_no_figure_follows_from_is_seen_in_the_hash(copy):
    copy.edit_lines(lambda lines: [*lines[:-1]], rehash=False)
    assert "journal_sha256" in copy.paths()


def test_a_missing_journal_is_a_difference(copy):
    copy.journal.unlink()
    assert copy.paths() == ["journal"]


def test_figures_within_a_billionth_are_the_same(copy):
    copy.edit(scale(*M, "units_per_s", "mid", factor=1 + 1e-11))
    assert verify(copy.record).status == "verified"


def test_another_version_is_named_and_excuses_nothing(copy, capsys):
    copy.edit(put("software", "derived_by", "2020.1.0"))
    assert run(["verify", str(copy.record)]) == 0
    assert "recorded by 2020.1.0, derived again by" in capsys.readouterr().out
    copy.edit(put("verdict", "code", "MINE"))
    assert run(["verify", str(copy.record)]) == 8
    assert "recorded by 2020.1.0, derived again by" in capsys.readouterr().out


def test_all_files_are_done_and_the_worst_counts(copy, capsys, tmp_path):
    (tmp_path / "junk.json").write_text("junk")
    files = [str(tmp_path / "junk.json"), str(tmp_path / "none.json"), str(copy.record)]
    assert run(["verify", *files, "--json", "-"]) == 8
    said = capsys.readouterr()
    found = json.loads(said.out)["files"]
    assert [each["status"] for each in found] == ["unreadable", "unreadable", "verified"]
    assert "junk.json" in found[0]["error"]
    assert len(said.err.splitlines()) == 3


def test_twenty_differences_are_shown_and_the_rest_counted(copy, capsys, tmp_path):
    def change(document):
        for workload in document["workloads"]:
            for window in workload["windows"]:
                window.update(start_s=window["start_s"] + 1, end_s=window["end_s"] + 1)
                window.update(units=window["units"] + 1, integral_j=None)

    copy.edit(change)
    out = tmp_path / "found.json"
    assert run(["verify", str(copy.record), "--json", str(out)]) == 8
    said = capsys.readouterr().out.splitlines()
    shown = [line for line in said if ": recorded " in line]
    found = json.loads(out.read_text())["files"][0]["differences"]
    assert len(found) > 20
    assert len(shown) == 20
    assert said[-1] == f"  and {len(found) - 20} more"
    assert found[0]["path"] in shown[0]


def test_hostile_text_never_reaches_the_terminal(copy, capsys):
    copy.edit(put("device", "name", "card\x1b[2J\u202e"))
    assert run(["verify", str(copy.record)]) == 8
    said = capsys.readouterr().out
    assert "device.name" in said
    assert not {"\x1b", "\u202e"} & set(said)


def leaves(found, path=()):
    """Every number, text and truth value of a document, by its path."""
    if isinstance(found, dict):
        return [leaf for name, each in found.items() for leaf in leaves(each, (*path, name))]
    if isinstance(found, list):
        return [leaf for k, each in enumerate(found) for leaf in leaves(each, (*path, k))]
    return [] if found is None else [path]


DERIVED = ("device", "meter", "plan", "idle", "workloads", "validity", "verdict")


@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whichever_leaf_is_flipped_it_is_found(copy, monkeypatch, stored_run, data):
    journal = read_journal(copy.journal)
    monkeypatch.setattr(bench.cli.verifying, "read_journal", lambda _place: journal)
    document = json.loads(stored_run.read_text())
    found = [leaf for leaf in leaves(document) if leaf[0] in DERIVED]
    leaf = data.draw(st.sampled_from(found))
    *way, last = leaf
    holder = document
    for step in way:
        holder = holder[step]
    value = holder[last]
    if isinstance(value, bool):
        holder[last] = not value
    elif isinstance(value, int):
        holder[last] = value + data.draw(st.sampled_from([-1, 1, 1000]))
    elif isinstance(value, float):
        holder[last] = value * data.draw(st.sampled_from([-1, 1 + 1e-6, 2])) + (value == 0)
    else:
        holder[last] = data.draw(st.sampled_from(["", value + " ", value.swapcase() + "x"]))
    copy.record.write_text(json.dumps(document))
    finding = verify(copy.record)
    assert finding.status != "verified"
    if finding.status == "different":
        named = finding.differences[0].path
        assert named.replace("[", ".").replace("]", "") == ".".join(map(str, leaf))

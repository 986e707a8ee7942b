"""``bench gate --against REF`` in repositories made here. About 20 s.

Most hold a stand-in for bench: it hands out one real record, scaled by what its commit says. One
holds this checkout's own code, with a loss planted in a profile.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli import run
from bench.cli.signals import interruptible, postponed, refusing
from bench.measure import Interrupted

HERE = Path(__file__).parents[2]
STAND_IN = """
import json, os, pathlib, random, signal, sys
from bench import FAULT, SPEED, NOISE

def main(words):
    called = [str(pathlib.Path(__file__)), os.environ["XDG_CACHE_HOME"], words]
    with open(os.environ["LOG"], "a") as log:
        print(json.dumps(called), file=log)
    if FAULT == "old" and "--window" in words:
        print("bench: No such option: --window", file=sys.stderr)
        return 2
    if "--dry-run" in words:
        print(json.dumps({"seconds": 0.1}))
        return 0
    number = int(words[words.index("--seed") + 1]) if "--seed" in words else None
    if FAULT == "dies" and number is not None:
        print("bench: the device is gone", file=sys.stderr)
        return 6
    if FAULT == "hangs" and number is not None:
        signal.pause()
    if FAULT == "edits":
        pathlib.Path(__file__).with_name("new.py").touch()
    record = json.loads(pathlib.Path(os.environ["TEMPLATE"]).read_text())
    scale = SPEED * random.Random(f"{number} {SPEED} {__file__}").lognormvariate(0, NOISE)
    for work in record["workloads"]:
        for window in work["windows"]:
            window["units"] *= scale
    if FAULT == "invalid":
        codes = [{"name": "NO_DATA", "text": "", "fatal": True}]
        record["validity"] = {"status": "invalid", "codes": codes}
    if FAULT == "other schema":
        record["schema"] = "joulemark/run/99"
    pathlib.Path(words[words.index("--json") + 1]).write_text(json.dumps(record))
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def git(folder, *arguments):
    named = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *named, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A real record of a simulated card."""
    folder = tmp_path_factory.mktemp("template")
    asked = ["hash", "--device", "sim:h100", "--grade", "quick", "--out", str(folder)]
    assert run([*asked, "--json", str(folder / "run.json")]) == 0
    return folder / "run.json"


@pytest.fixture
def places(tmp_path, template, monkeypatch):
    """Temporary folders of the test's own, and what the stand-in reads and writes."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("TEMPLATE", str(template))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.fixture
def repo(places, monkeypatch):
    """A repository with a stand-in at its first commit, tagged base; the working directory."""
    folder = places / "repo"
    for package in ("bench", "bench/kernels", "bench/profiles"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    (folder / "bench" / "__main__.py").write_text(STAND_IN)
    state(folder)
    (folder / ".gitignore").write_text("__pycache__\n")
    git(folder, "init", "-q")
    commit(folder)
    git(folder, "tag", "base")
    monkeypatch.chdir(folder)
    return folder


def state(folder, *, speed=1.0, noise=0.002, fault=""):
    """What the stand-in does from now on."""
    text = f"FAULT = {fault!r}\nSPEED = {speed}\nNOISE = {noise}\n"
    (folder / "bench" / "__init__.py").write_text(text)


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "x")


@pytest.fixture
def gate(repo, capfd):
    """(exit status, findings, stderr) of a gate with three pairs; nothing of it may stay."""

    def gate(*arguments, ref="base", words=("--", "hash", "--device", "sim:h100")):
        before = git(repo, "status", "--porcelain")
        options = arguments if "--pairs" in arguments else ("--pairs", "3", *arguments)
        capfd.readouterr()
        status = run(["gate", "--against", ref, "--json", "-", *options, *words])
        out, err = capfd.readouterr()
        assert left_nothing(repo)
        if "new.py" not in git(repo, "status", "--porcelain"):
            assert git(repo, "status", "--porcelain") == before
        return status, json.loads(out) if out else None, err

    return gate


def left_nothing(repo):
    worktrees = git(repo, "worktree", "list").splitlines()
    return len(worktrees) == 1 and not list((repo.parent / "tmp").iterdir())


def log(repo):
    return [json.loads(line) for line in (repo.parent / "log").read_text().splitlines()]


def test_the_same_code_twice_is_ok_and_written_where_it_is_wanted(gate, repo, monkeypatch):
    summary = repo.parent / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    junit, markdown = repo.parent / "gate.xml", repo.parent / "gate.md"
    status, found, err = gate("--pairs", "4", "--junit", str(junit), "--markdown", str(markdown))
    assert status == found["exit_status"] == 0
    assert found["max_regress"] == 0.03
    assert [each["blocks"] for each in found["figures"]] == [[4, 4], [4, 4]]
    against = found["against"]
    assert against["base"] == against["head"] == git(repo, "rev-parse", "HEAD")
    assert [pair["first"] for pair in against["pairs"]].count("head") == 2
    assert "the same code" in err
    assert "10 runs of about" in err
    assert "pair  4/4" in err
    assert ElementTree.parse(junit).getroot().get("failures") == "0"
    assert "Against base" in markdown.read_text()
    assert "Against base" in summary.read_text()
    _check_turns(repo)


def test_a_slower_commit_is_a_regression(gate, repo):
    state(repo, speed=0.8)
    commit(repo)
    status, found, err = gate()
    assert status == 10
    assert {each["verdict"] for each in found["figures"]} == {"regression"}
    assert "with changes" not in err
    assert found["against"]["head_changed"] is False
    assert all(pair["ratios"]["sha256d units_per_s"] < 0.9 for pair in found["against"]["pairs"])


def test_noise_that_hides_the_limit_is_inconclusive(gate, repo):
    state(repo, noise=0.2)
    commit(repo)
    assert gate()[0] == 12


def _check_turns(repo):
    """Each side ran its own code, with caches of its own, both of a pair with the same seed."""
    runs = [(Path(file), cache, words) for file, cache, words in log(repo) if "--seed" in words]
    sides = {"head" if file.is_relative_to(repo) else "base": cache for file, cache, _ in runs}
    assert len(set(sides.values())) == 2
    seeds = [words[words.index("--seed") + 1] for *_, words in runs]
    assert seeds[::2] == seeds[1::2]
    assert len(set(seeds)) == 4
    assert all(words[:3] == ["hash", "--device", "sim:h100"] for *_, words in runs)


def test_a_seed_of_the_users_own_stays(gate, repo):
    assert gate(words=("--", "hash", "--seed", "7"))[0] == 0
    assert {words[words.index("--seed") + 1] for *_, words in log(repo)} == {"7"}
    assert all(words.count("--seed") == 1 for *_, words in log(repo))


def test_changes_that_are_not_committed_count_and_hooks_hear_of_nothing(repo, monkeypatch, capfd):
    """As from within a hook of git's own, whose environment ties git to one repository."""
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {repo.parent / 'hooked'}\n")
    hook.chmod(0o755)
    state(repo, speed=0.8)
    with monkeypatch.context() as hooked:
        hooked.setenv("GIT_INDEX_FILE", str(repo.parent / "index"))
        hooked.setenv("GIT_DIR", str(repo / ".git"))
        status = run(["gate", "--against", "base", "--pairs", "3", "--", "hash"])
    assert status == 10
    assert "with changes that are not committed" in capfd.readouterr().out
    assert not (repo.parent / "hooked").exists()
    assert not (repo.parent / "index").exists()
    assert left_nothing(repo)


def test_runs_that_fail_are_told_and_too_many_of_them_are_not_comparable(gate, repo):
    state(repo, fault="dies")
    status, found, err = gate()
    assert status == 11
    assert "pair  3/3" in err
    assert "lost, head: exit 6, the device is gone" in err
    assert "not comparable: 3 of 3 pairs of runs were lost" in err
    assert found["against"]["pairs"][0]["lost"] == "head: exit 6, the device is gone"


def test_a_checkout_that_changes_meanwhile_is_not_comparable(gate, repo):
    state(repo, fault="edits")
    status, _, err = gate()
    assert status == 11
    assert err.splitlines()[-1].startswith("bench: the checkout was changed while it was measured")


@pytest.mark.parametrize(
    ("options", "words", "status", "said"),
    [
        ((), ("--", "list"), 2, "--against measures no 'list': use all, hash or infer"),
        ((), ("--", "hash", "--json=x"), 2, "--json=x of bench hash: the gate takes"),
        (("--pairs", "2"), (), 2, "--pairs 2: use 3 to 1000"),
        (("--baseline", "x.json"), (), 2, "--against does not go with --baseline"),
        (("--audit",), (), 2, "--against does not go with --audit"),
        (("--any-device",), (), 2, "--against does not go with --any-device"),
        (("--against", "nowhere"), (), 2, "--against nowhere: names no commit"),
        (("--against", "--help"), (), 2, "--against --help: names no commit"),
    ],
)
def test_what_cannot_be_meant_is_one_line(gate, options, words, status, said):
    given = options if "--pairs" in options else (*options, "--pairs", "4")
    found, _, err = gate(*given, words=words)
    assert found == status
    assert said in err
    assert len(err.splitlines()) == 1


def test_pairs_without_against_and_two_runs_are_one_line(capsys):
    assert run(["gate", "a.json", "--baseline", "b.json", "--pairs", "4"]) == 2
    assert "--pairs 4: only --against REF" in capsys.readouterr().err
    assert run(["gate", "a.json", "c.json", "--baseline", "b.json"]) == 2
    assert "c.json: one run at a time" in capsys.readouterr().err


def test_outside_of_a_checkout_it_is_one_line(places, monkeypatch, capsys):
    monkeypatch.chdir(places)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(places.parent))
    assert run(["gate", "--against", "HEAD"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "--against needs a git checkout of joulemark" in line
    git(places, "init", "-q")
    assert run(["gate", "--against", "HEAD"]) == 3
    assert "holds no package bench" in capsys.readouterr().err


def unlike(repo, kind):
    """Something before joulemark, or too old a one, at a commit of its own."""
    package = repo / "bench"
    if kind == "empty":
        shutil.rmtree(package)
        (repo / "readme").touch()
    elif kind == "broken":
        (package / "__main__.py").write_text("import nowhere_to_be_found\n")
    elif kind == "no kernels":
        shutil.rmtree(package / "kernels")
    else:
        state(repo, fault=kind)
    commit(repo)
    git(repo, "tag", "unlike")
    git(repo, "checkout", "-q", "base")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "--against unlike: its tree holds no package bench"),
        ("broken", "unlike: its bench cannot be imported here: ModuleNotFoundError"),
        ("no kernels", "unlike: "),
        ("old", "unlike: bench hash left no record: No such option: --window"),
        ("invalid", "unlike: warming up twice, the run is invalid: NO_DATA"),
        ("other schema", "unlike: bench hash left no record: no single record that this bench"),
    ],
)
def test_a_commit_that_has_no_bench_to_compare_is_one_line(gate, repo, kind, said):
    unlike(repo, kind)
    status, _, err = gate(ref="unlike", words=("--", "hash", "--window", "2"))
    assert status == 11
    assert f"bench: {said}" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_an_interrupt_leaves_neither_worktree_nor_folder(repo):
    state(repo, fault="hangs")
    gating = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench", "gate", "--against", "base", "--", "hash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    for line in gating.stdout:
        if "pair 1 of 8: head" in line:
            break
    os.killpg(gating.pid, signal.SIGINT)
    _, err = gating.communicate(timeout=60)
    assert gating.returncode == 130
    assert err.splitlines() == ["bench: interrupted after 0 of 8 pairs: nothing is judged"]
    assert left_nothing(repo)


def test_a_signal_waits_for_what_must_not_be_left_half_done():
    done = []

    def work():
        with refusing(), interruptible(), postponed():
            signal.raise_signal(signal.SIGTERM)
            done.append("all")

    with pytest.raises(Interrupted) as interrupt:
        work()
    assert (done, interrupt.value.number) == (["all"], signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_this_very_code_with_a_loss_planted_in_a_profile(places, monkeypatch, capfd):
    """The profile is not committed; the worktree has kernels, profiles and workers of its own."""
    repo = places / "repo"
    unwanted = shutil.ignore_patterns("*.safetensors")
    for name in ("bench", "kernels", "profiles", "results"):
        shutil.copytree(HERE / name, repo / name, symlinks=True, ignore=unwanted)
    shutil.copy(HERE / ".gitignore", repo)
    git(repo, "init", "-q")
    commit(repo)
    profile = repo / "profiles" / "gpus" / "h100.toml"
    text = profile.read_text()
    slower = text.replace(
        "units_per_s = { value = 7099000000,", "units_per_s = { value = 5679200000,"
    )
    assert slower != text
    profile.write_text(slower)
    monkeypatch.chdir(repo)
    words = ["--", "all", "--device", "sim:h100", "--grade", "quick"]
    status = run(["gate", "--against", "HEAD", "--pairs", "3", "--json", "-", *words])
    out, err = capfd.readouterr()
    assert status == 10, err
    found = {(e["workload"], e["metric"]): e for e in json.loads(out)["figures"]}
    lost = found["sha256d", "units_per_s"]
    assert (lost["verdict"], lost["ratio"]["mid"]) == ("regression", pytest.approx(0.8, rel=0.02))
    assert found["serve", "units_per_s"]["verdict"] == "ok"
    assert found["serve", "joules_per_unit"]["verdict"] == "ok"
    assert left_nothing(repo)

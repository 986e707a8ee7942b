"""Kill runs while they write, and look at what is left: ``killing.py FOLDER JOURNAL KILLS SEED``.

Every run is a process of its own that writes the facts of JOURNAL through the real journal and
record code, and is killed (SIGKILL) at a fact, or before or after an open, fsync, link, rename or
removal, or by the clock at a random moment. What was found is printed as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import bench
from bench.cli.verifying import verify
from bench.derive import recovered
from bench.records.journal import Sample, Span
from bench.store import Journal, load, load_journal, recover, save, to_json

TOUCHES = {"open", "os.link", "os.rename", "os.remove"}
SAMPLES_KEPT = 30  # one in so many: what is killed is the writing, not the arithmetic


def thinned(path):
    facts = load_journal(path)
    return [
        fact
        for k, fact in enumerate(facts)
        if not isinstance(fact, Sample) or k % SAMPLES_KEPT == 0
    ]


def of_run(facts, run_id):
    return [replace(facts[0], data={**facts[0].data, "run_id": run_id}), *facts[1:]]


def write(folder, record, facts, *, committed, fatal):
    """What a run does with its files; ``fatal(n)`` is told of every step."""
    with Journal(folder, record.run_id) as journal:
        for fact in of_run(facts, record.run_id):
            journal.append(fact)
            fatal("fact")
            if isinstance(fact, Span) and fact.phase == "block":
                journal.sync()
        journal.sync()
        save(replace(record, journal_sha256=journal.sha256()), folder)
        os.write(committed, b"c")
        journal.compress()


class Fate:
    """Counts the steps of a kind and kills at the one drawn; nothing where none was drawn."""

    def __init__(self, kind, step):
        self.kind, self.left, self.seen = kind, step, {"fact": 0, "touch": 0}

    def __call__(self, kind):
        self.seen[kind] += 1
        if kind == self.kind and self.seen[kind] == self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self):
        sync = os.fsync

        def fsync(handle):
            self("touch")
            sync(handle)
            self("touch")

        os.fsync = fsync
        sys.addaudithook(lambda name, _: self("touch") if name in TOUCHES else None)


def run(folder, record, facts, fate, within_s=None):
    """One run in a process of its own: its status, whether its record was saved, its steps."""
    told, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        fate.watch()
        if within_s is not None:
            signal.setitimer(signal.ITIMER_REAL, within_s)  # SIGALRM ends it as SIGKILL does
        write(folder, record, facts, committed=said, fatal=fate)
        os.write(said, json.dumps(fate.seen).encode())
        os._exit(0)
    os.close(said)
    with os.fdopen(told, "rb") as heard:
        words = heard.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, words[:1] == b"c", json.loads(words[1:] or b"{}")


def main(folder, journal, kills, seed):
    folder.mkdir(exist_ok=True)
    facts, draw = thinned(journal), random.Random(seed)
    template = recovered(facts, bench.__version__)
    to_json(template)  # what that imports and builds is no step of a run
    begun = time.monotonic()
    named = replace(template, run_id="whole-run")
    status, committed, steps = run(folder, named, facts, Fate(None, 0))
    lasted_s = time.monotonic() - begun
    assert (status, committed) == (0, True)
    saved, killed = {"whole-run"}, 0
    for number in count():
        if killed == kills:
            break
        run_id = f"run-{number:05d}"
        kind = draw.choice(["fact", "touch", "touch", None])
        fate = Fate(kind, draw.randint(1, steps[kind]) if kind else 0)
        within_s = None if kind else draw.uniform(1e-4, lasted_s)
        status, committed, _ = run(folder, replace(template, run_id=run_id), facts, fate, within_s)
        killed += status < 0
        saved |= {run_id} if committed else set()
    print(json.dumps({"killed": killed, **findings(folder, template, saved)}))


def findings(folder, template, saved):
    """Counts of what is left, before and after the recovery of all of it."""
    stand = {path.stem for path in folder.glob("*.json") if not path.name.startswith(".")}
    texts = {run_id: (folder / f"{run_id}.json").read_bytes() for run_id in stand}
    torn = sum(not whole(text, template) for text in texts.values())
    journals = [path for path in folder.glob("*.samples.jsonl*") if path.name[0] != "."]
    outcomes = [recover(path).outcome for path in sorted(journals)]
    changed = sum((folder / f"{name}.json").read_bytes() != text for name, text in texts.items())
    records = sorted(path for path in folder.glob("*.json") if path.name[0] != ".")
    return {
        "committed": len(saved),
        "lost": len(saved - stand),
        "torn": torn,
        "changed": changed,
        "begun": len({path.name.partition(".")[0] for path in journals}),  # some twice: packed too
        "rebuilt": outcomes.count("recovered"),
        "empty": outcomes.count("of no run"),
        "records": len(records),
        "verified": sum(verify(path).status == "verified" for path in records),
        "loaded": sum(load(path).run_id == path.stem for path in records),
    }


def whole(text, template):
    """Whether it is the record that was to be written, to the last byte."""
    run = json.loads(text)
    record = replace(template, run_id=run["run_id"], journal_sha256=run["journal_sha256"])
    return to_json(record).encode() == text


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

"""Any checkout's own ``bench`` as a command: its code, its caches, its runs as the gate sees them.

Both sides share the interpreter, the libraries and what is remembered of the device; each imports
``bench`` with its kernels and profiles from its own folder, and keeps its own compiled code.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.calibrations import FOLDER
from bench.cli.checkouts import Checkout, without_git
from bench.cli.refusal import NOT_COMPARABLE, OK, Refusal
from bench.gate.side import Side, side_of
from bench.machine import legible
from bench.report.foreign import clean
from bench.store import BadRecord, cache_dir, load

PATIENCE_S = 20.0
"""How long a run that is asked to end may write what it has."""
UNREAD = "no single record that this bench reads"
PROVE = """
import importlib, importlib.metadata, json, sys
names = {"bench", "bench.__main__", "bench.kernels", "bench.profiles"}
points = importlib.metadata.entry_points(group="joulemark.workloads")
names |= {each.module for each in points if each.module.startswith("bench.")}
found = {}
for name in sorted(names):
    try:
        found[name] = importlib.import_module(name).__file__
    except ModuleNotFoundError as error:
        if name.count(".") < 2 or not (error.name or "").startswith("bench"):
            raise
json.dump(found, sys.stdout)
"""
"""Imports what a run imports and says from where; a workload may be younger than a checkout."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A run that left no record: its exit status, and its last words."""

    status: int
    said: str


class Bench:
    """The ``bench`` of one checkout; ``name`` is what people call it."""

    def __init__(self, name: str, checkout: Checkout, folder: Path) -> None:
        """``folder`` is for its caches, records and output."""
        self.name = name
        self._checkout = checkout
        self._folder = folder
        self._runs = 0
        folder.mkdir()
        self._environment = _environment(checkout.root, folder)

    def prove(self) -> None:
        """Refusal unless it imports its own code, as an installed finder might see to otherwise."""
        status, out, said = self._call([sys.executable, "-P", "-c", PROVE])
        if status != OK:
            text = f"its bench cannot be imported here: {said}"
            raise Refusal(NOT_COMPARABLE, f"{self.name}: {text}")
        root = self._checkout.root.resolve()
        for name, file in json.loads(out).items():
            if not Path(file).resolve().is_relative_to(root):
                text = f"{name} is imported from {legible(file)} instead of its own folder"
                raise Refusal(NOT_COMPARABLE, f"{self.name}: {text}")

    def planned_s(self, arguments: Sequence[str]) -> float:
        """What ``--dry-run`` says a run takes; Refusal with its words when it refuses."""
        status, out, said = self._bench([*arguments, "--dry-run", "--json", "-"])
        if status != OK:
            raise Refusal(status, f"bench {' '.join(map(legible, arguments))}: {said}")
        return float(json.loads(out)["seconds"])

    def measure(self, arguments: Sequence[str], seed: int | None) -> Side | Lost:
        """One run as the gate sees it."""
        self._runs += 1
        record = self._folder / f"run-{self._runs}.json"
        seeded = [] if seed is None else ["--seed", str(seed)]
        places = ["--json", str(record), "--out", str(self._folder / "records")]
        status, _, said = self._bench([*arguments, *seeded, *places])
        if not record.exists():
            return Lost(status, said)
        try:
            return side_of(load(record))
        except BadRecord as error:
            why = f"{error.field or 'it'} {error.why}"
            return Lost(status, f"{UNREAD} ({why}); name one kernel and one point")

    def _bench(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        return self._call([sys.executable, "-P", "-m", "bench", *arguments])

    def _call(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Exit status, stdout, and the last line of stderr without its ``bench:``."""
        said = self._folder / "said"
        out = self._folder / "out"
        with out.open("wb") as stdout, said.open("wb") as stderr:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self._environment,
                start_new_session=True,  # a terminal's Ctrl-C is for the gate alone
            )
            try:
                status = child.wait()
            finally:
                if child.poll() is None:
                    _end(child)
        last = said.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        text = clean(last[-1]).removeprefix("bench: ")
        return status if status >= 0 else 128 - status, out.read_text("utf-8", "replace"), text


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let it put back what it changed, but not for ever."""
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _environment(root: Path, folder: Path) -> dict[str, str]:
    """As here, but with its own code first and compiled code of its own.

    What is remembered of the device is common to both: a calibration that only one side knew would
    show as a difference of the code.
    """
    caches = folder / "cache" / "joulemark"
    caches.mkdir(parents=True, mode=0o700)
    known = cache_dir()
    for each in known.glob("*.json"):
        with contextlib.suppress(OSError):
            shutil.copy(each, caches)
    common = folder.parent / FOLDER
    if not common.exists():
        shutil.copytree(known / FOLDER, common) if (known / FOLDER).is_dir() else common.mkdir()
    (caches / FOLDER).symlink_to(common)
    path = os.environ.get("PYTHONPATH")
    return without_git(os.environ) | {
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else str(root),
        "PYTHONSAFEPATH": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }

"""The page of the measured runs that ship, made of their records, each derived again before.

``python -m bench.cli.reference_runs > docs/reference.md`` makes it anew.
"""

from __future__ import annotations

import importlib.resources
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli.refusal import BAD_FILE, INVALID, OK, Refusal
from bench.cli.verifying import verify
from bench.records.record import RunRecord
from bench.report.exports import to_markdown
from bench.report.reference import runs
from bench.store import in_folder, load

HEAD = """\
<!-- Made by: python -m bench.cli.reference_runs > docs/reference.md -->

# Measured runs that ship

Records in `results/reference/`, measured on real devices. Every figure below was derived again from
the record's journal when this page was made, and is again whenever the tests run.
"""
NONE = """\
**None yet.** No graphics card and no processor has a run here, so this page holds no figure.
Predicted cards are in `bench skus`, simulated ones behind `--device sim:NAME`; neither belongs
here.
"""
NO_CARD = """\
**No graphics card is among them yet.**
"""


def page(folder: Path) -> str:
    """The page as Markdown; Refusal names a record that does not belong on it, and why."""
    return told([sound(path) for path in in_folder(folder)] if folder.is_dir() else [])


def told(records: Sequence[RunRecord]) -> str:
    """The page of these, the oldest first."""
    if not records:
        return f"{HEAD}\n{NONE}"
    doubt = [] if any(each.device.kind == "gpu" for each in records) else [NO_CARD]
    tables = to_markdown(*runs(sorted(records, key=lambda each: each.started_at)))
    return "\n".join([HEAD, *doubt, tables])


def sound(path: Path) -> RunRecord:
    """The record, of a real device, to be trusted, and the same when derived again."""
    found = verify(path)
    if found.status != "verified":
        cure = found.error or f"bench verify {path} says where; restore the file from a copy"
        raise Refusal(BAD_FILE, f"{path}: {found.status}: {cure}")
    record = load(path)
    if record.device.kind == "sim":
        raise Refusal(INVALID, f"{path}: of a simulated card; only measured runs ship here")
    if record.validity.status in ("invalid", "incomplete"):
        raise Refusal(INVALID, f"{path}: {record.validity.status}; measure it again")
    return record


def main() -> int:
    """Print the page of the runs that ship; 0, or the status of what keeps one off it."""
    with importlib.resources.as_file(importlib.resources.files("bench.results")) as place:
        try:
            print(page(place / "reference"), end="")
        except Refusal as refusal:
            print(refusal, file=sys.stderr)
            return refusal.status
    return OK


if __name__ == "__main__":
    sys.exit(main())

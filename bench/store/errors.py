"""Why something could not be kept, or what was kept cannot be used: one line each."""

from __future__ import annotations

from pathlib import Path

LONGEST = 200


class StoreError(Exception):
    """Something could not be kept, in one line: what, where, what to do."""


class Busy(Exception):  # noqa: N818 - a state of the device, not a fault
    """Another run holds the device."""


class BadRecord(Exception):  # noqa: N818 - the file's fault
    """A record or journal that cannot be used: which file, which field, why, what to do."""

    def __init__(self, file: str, field: str | None, why: str, cure: str) -> None:
        self.file = file
        self.field = None if field is None else shortened(field)
        self.why = shortened(why)
        self.cure = cure
        where = file if self.field is None else f"{file}: {self.field}"
        super().__init__(f"{where} {self.why}; {cure}")


class OtherFormat(BadRecord):
    """A JSON file that is no record of a run, whatever else it is."""


def shortened(text: str) -> str:
    """On one line, and no longer than a line may be."""
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"


OUT = "choose another folder with --out"
BESIDE = "make room and the folder writable, or copy its files to another"
"""What is made beside the file it is made from has no other place."""


def cannot_write(path: Path, error: OSError, cure: str = OUT) -> str:
    """What an output folder is missing."""
    return f"cannot write {path}: {error.strerror or error}; {cure}"

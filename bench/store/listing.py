"""What one line says of each of a thousand records: read for that alone, and no further.

A record in full is read by ``load``; here a field that a line does not show is not looked at.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.listed import Row, Work
from bench.records.record import SCHEMA
from bench.records.run import DeviceKind, GradeName, Status
from bench.store.errors import BadRecord, OtherFormat
from bench.store.journal import JOURNAL_SUFFIX
from bench.store.plausible import BOUNDS
from bench.store.reading import RESTORE, RUN_ID, read_bytes, record_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter


MADE_OF_IT = (".json", ".stretch.json")
"""A run's record, or that of ``bench run``."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """What lies in some places: rows, newest first, files that are no record's, and journals
    whose record is missing."""

    rows: tuple[Row, ...]
    unreadable: tuple[BadRecord, ...]
    orphans: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Mid:
    mid: float


@dataclass(frozen=True, slots=True)
class _Metrics:
    units_per_s: _Mid | None
    joules_per_unit: _Mid | None


@dataclass(frozen=True, slots=True)
class _Workload:
    name: str
    unit: str
    metrics: _Metrics


@dataclass(frozen=True, slots=True)
class _Device:
    kind: DeviceKind
    name: str


@dataclass(frozen=True, slots=True)
class _Plan:
    grade: GradeName


@dataclass(frozen=True, slots=True)
class _Code:
    name: str


@dataclass(frozen=True, slots=True)
class _Validity:
    status: Status
    codes: tuple[_Code, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    code: str


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a record that a line needs; other fields are passed over."""

    schema: str
    run_id: str
    started_at: str
    device: _Device
    plan: _Plan
    workloads: tuple[_Workload, ...]
    validity: _Validity
    verdict: _Verdict


def shelve(places: Sequence[Path]) -> Shelf:
    """All records among files and in folders (not in folders of folders).

    A file that was named must be a record; in a folder, files of other formats are passed over.
    """
    rows: list[Row] = []
    unreadable: list[BadRecord] = []
    orphans: list[Path] = []
    for place in places:
        inside = os.path.isdir(place)  # Path.is_dir raises below a folder that is closed to us
        try:
            paths = in_folder(place) if inside else [place]
            orphans += orphaned(place) if inside else []
        except BadRecord as error:
            unreadable.append(error)
            continue
        for path in paths:
            try:
                rows.append(read_row(path))
            except OtherFormat as error:
                if not inside:
                    unreadable.append(error)
            except BadRecord as error:
                unreadable.append(error)
    rows.sort(key=lambda row: (dt.datetime.fromisoformat(row.started_at), row.run_id), reverse=True)
    return Shelf(tuple(rows), tuple(unreadable), tuple(orphans))


def in_folder(folder: Path) -> list[Path]:
    """Files of a folder that may be records, by name; BadRecord where it cannot be read."""
    return [folder / name for name in _names(folder) if name.endswith(".json")]


def orphaned(folder: Path) -> list[Path]:
    """Journals of a folder beside which neither a record nor a stretch lies, by name."""
    names = set(_names(folder))
    return [
        path
        for path in journals(folder)
        if not any(f"{run_of(path)}{end}" in names for end in MADE_OF_IT)
    ]


def journals(folder: Path) -> list[Path]:
    """Journals of a folder by name, plain and compressed; BadRecord where it cannot be read."""
    ends = (JOURNAL_SUFFIX, f"{JOURNAL_SUFFIX}.gz")
    return [folder / name for name in _names(folder) if name.endswith(ends)]


def _names(folder: Path) -> list[str]:
    """What lies in a folder and is not hidden, in order."""
    try:
        found = os.listdir(folder)
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        raise BadRecord(str(folder), None, why, "check the folder and its rights") from None
    return sorted(name for name in found if not name.startswith("."))


def run_of(journal: Path) -> str:
    """The run that a journal's name gives."""
    return journal.name.removesuffix(".gz").removesuffix(JOURNAL_SUFFIX)


def has_record(journal: Path) -> bool:
    """Whether what was made of it lies beside it."""
    return any(journal.with_name(f"{run_of(journal)}{end}").exists() for end in MADE_OF_IT)


def read_row(path: Path) -> Row:
    """One record's line; BadRecord says what is wrong with it, as ``load`` does."""
    from pydantic import ValidationError

    data = read_bytes(path)
    try:
        part = _adapter().validate_json(data, strict=True)
    except ValidationError:
        part = None
    if part is None or not _sound(part):
        record_of(str(path), data)
        raise BadRecord(str(path), None, "holds no line of a list", RESTORE)
    return Row(
        file=str(path),
        run_id=part.run_id,
        started_at=part.started_at,
        kind=part.device.kind,
        device=part.device.name,
        grade=part.plan.grade,
        status=part.validity.status,
        codes=tuple(code.name for code in part.validity.codes),
        verdict=part.verdict.code,
        works=tuple(map(_work, part.workloads)),
    )


def _sound(part: _Part) -> bool:
    """Whether it is of our schema, its name and time are such, and its figures are numbers."""
    try:
        zone = dt.datetime.fromisoformat(part.started_at).tzinfo
    except ValueError:
        return False
    named = part.schema == SCHEMA and RUN_ID.fullmatch(part.run_id) is not None
    figures = (_plausible(work.metrics) for work in part.workloads)
    return named and zone is not None and all(figures)


def _plausible(metrics: _Metrics) -> bool:
    """Whether a run can have such figures; 0 only one that stood still, as ``load`` knows."""
    for name in ("units_per_s", "joules_per_unit"):
        found: _Mid | None = getattr(metrics, name)
        least, most = BOUNDS[name]
        if found is not None and found.mid != 0 and not least <= found.mid <= most:
            return False
    return True


def _work(workload: _Workload) -> Work:
    rate, joules = workload.metrics.units_per_s, workload.metrics.joules_per_unit
    return Work(
        workload.name,
        workload.unit,
        None if rate is None else rate.mid,
        None if joules is None else joules.mid,
    )


@cache
def _adapter() -> TypeAdapter[_Part]:
    from pydantic import TypeAdapter

    return TypeAdapter(_Part)

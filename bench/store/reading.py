"""Files to records and journals. Whatever else a file may hold stops here, as a ``BadRecord``."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import hashlib
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from bench.records.journal import Fact, from_line
from bench.records.record import SCHEMA, RunRecord
from bench.store.errors import BadRecord, OtherFormat
from bench.store.journal import JOURNAL_SUFFIX
from bench.store.plausible import implausible
from bench.store.record import record_adapter, to_object

MAX_RECORD_BYTES = 32 << 20
MAX_JOURNAL_BYTES = 1 << 30
MAX_LINE_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_WHOLE = 2**64
GZIP = b"\x1f\x8b"
RUN_ID = re.compile(r"[0-9a-z-]{8,64}")
ANY_VERSION = re.compile(r"joulemark/run/[0-9]{1,6}")

GIVE_A_RECORD = "give the RUN_ID.json that bench wrote"
RESTORE = "restore the file from a copy"


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """A journal read back; ``sha256`` is of its uncompressed bytes."""

    path: Path
    facts: list[Fact]
    sha256: str


def load(path: Path) -> RunRecord:
    """The record in a file, every field of its type; BadRecord says what is wrong with it."""
    return record_of(str(path), read_bytes(path))


def record_of(file: str, data: bytes) -> RunRecord:
    """The same of its bytes; ``file`` is where they stood."""
    from pydantic import ValidationError

    document = _document(file, data)
    try:
        record = record_adapter().validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = _dotted(first["loc"]) or None
        raise BadRecord(file, place, f"is wrong: {first['msg']}", RESTORE) from None
    for place in _unknown(document, to_object(record)):
        cure = "update joulemark if a newer one wrote it, else remove the field"
        raise BadRecord(file, place, "is not a known field", cure)
    _check_texts(file, record)
    for place, why in implausible(record):
        raise BadRecord(file, place, why, RESTORE)
    return record


def load_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, whatever it says; BadRecord when it holds none."""
    return parsed(str(path), read_bytes(path))


def find_journal(path: Path, run_id: str) -> Path | None:
    """The journal beside a record, compressed or not; beside what it links to, if it is a link."""
    names = (f"{run_id}{JOURNAL_SUFFIX}.gz", f"{run_id}{JOURNAL_SUFFIX}")
    folders = (path.parent, path.resolve().parent)
    places = (folder / name for folder in folders for name in names)
    return next((place for place in places if place.exists()), None)


def load_journal(path: Path) -> list[Fact]:
    """The facts of a journal file, plain or compressed, in its order; see ``read_journal``."""
    return read_journal(path).facts


def read_journal(path: Path) -> StoredJournal:
    """A journal file, plain or compressed; BadRecord names the first line that is no fact.

    What a crash cut off in the middle of the last line is left out.
    """
    facts: list[Fact] = []
    digest = hashlib.sha256()
    read_bytes = 0
    for number, line in enumerate(_lines(path), 1):
        digest.update(line)
        read_bytes += len(line)
        if read_bytes > MAX_JOURNAL_BYTES:
            raise BadRecord(str(path), None, "holds more than 1 GiB", "measure a shorter window")
        if len(line) == MAX_LINE_BYTES:
            raise BadRecord(str(path), f"line {number}", "is longer than any fact", RESTORE)
        try:
            found = _json(line)
        except ValueError as error:
            if not line.endswith(b"\n"):
                break  # only the last has no end
            raise _bad_line(path, number, error) from None
        try:
            facts.append(from_line(_object(found)))
        except ValueError as error:
            raise _bad_line(path, number, error) from None
    return StoredJournal(path, facts, digest.hexdigest())


def _bad_line(path: Path, number: int, error: ValueError) -> BadRecord:
    return BadRecord(str(path), f"line {number}", f"is no fact: {error}", RESTORE)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with opened_file(path) as raw:
            packed = os.pread(raw.fileno(), len(GZIP), 0) == GZIP
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            while line := stream.readline(MAX_LINE_BYTES):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise BadRecord(str(path), None, f"cannot be read: {_why(error)}", RESTORE) from None


def read_bytes(path: Path) -> bytes:
    """A whole file of bounded size."""
    file = str(path)
    try:
        with opened_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size  # room for the most would take time to make
            data = stream.read(min(size, MAX_RECORD_BYTES) + 1)
    except OSError as error:
        raise BadRecord(file, None, f"cannot be read: {_why(error)}", "check it") from None
    if len(data) > MAX_RECORD_BYTES:
        raise BadRecord(file, None, "is larger than 32 MiB, as no record is", GIVE_A_RECORD)
    return data


@contextlib.contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file or a link to one; nothing that could block or never end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why, cure = f"cannot be opened: {_why(error)}", "check the path"
        raise BadRecord(str(path), None, why, cure) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadRecord(str(path), None, "is not a file", GIVE_A_RECORD)
    with os.fdopen(handle, "rb") as stream:
        yield stream


def version_of(schema: str) -> int:
    """The number of a schema of records."""
    return int(schema.rpartition("/")[2])


def parsed(file: str, data: bytes) -> dict[str, Any]:
    """The bytes as a JSON object, strictly; BadRecord where they are none."""
    try:
        return _object(_json(data))
    except UnicodeDecodeError as error:
        why = f"is not UTF-8 text (byte {error.start})"
        raise BadRecord(file, None, why, GIVE_A_RECORD) from None
    except ValueError as error:
        raise BadRecord(file, None, f"is no record: {error}", GIVE_A_RECORD) from None


def _document(file: str, data: bytes) -> dict[str, Any]:
    """The bytes as a JSON object of our schema."""
    document = parsed(file, data)
    schema = document.get("schema")
    if schema == SCHEMA:
        return document
    if isinstance(schema, str) and ANY_VERSION.fullmatch(schema):
        why = f"is {schema}; this version reads {SCHEMA}"
        older = version_of(schema) < version_of(SCHEMA)
        cure = "rewrite it with bench migrate" if older else "update joulemark"
        raise BadRecord(file, "schema", why, cure)
    raise OtherFormat(file, "schema", f"is not {SCHEMA}", GIVE_A_RECORD)


def _check_texts(file: str, record: RunRecord) -> None:
    """What a file name or a date is made of."""
    if not RUN_ID.fullmatch(record.run_id):
        why = "is not 8 to 64 of the characters 0-9 a-z -"
        raise BadRecord(file, "run_id", why, GIVE_A_RECORD)
    for name in ("started_at", "finished_at"):
        try:
            zone = dt.datetime.fromisoformat(getattr(record, name)).tzinfo
        except ValueError:
            zone = None
        if zone is None:
            why = "is not a time like 2026-11-22T15:01:02Z"
            raise BadRecord(file, name, why, RESTORE) from None


def _json(data: bytes) -> Any:
    """Strict JSON: no NaN, no infinity, no key twice, of bounded depth, all text encodable."""
    text = data.decode()
    try:
        found = _DECODER.decode(text)
        if text.count("{") + text.count("[") > MAX_DEPTH:
            _check_depth(found)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if "\\u" in text:
        json.dumps(found, ensure_ascii=False).encode()
    return found


_HOLDERS = (dict, list)
TOO_DEEP = f"it nests deeper than {MAX_DEPTH}"


def _check_depth(found: Any) -> None:
    """Without recursion, and without a look at what holds nothing."""
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, _HOLDERS)
        ]
    if level:
        raise ValueError(TOO_DEEP)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key "{twice}" occurs twice')
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:32]} is beyond all numbers")
    return number


def _whole(digits: str) -> int:
    number = int(digits)
    if abs(number) >= MAX_WHOLE:
        raise ValueError(f"{digits[:32]} is beyond 64 bits")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_finite,
    parse_int=_whole,
    parse_constant=_no_constant,
)


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - a file is at fault
    return found


def _unknown(document: Any, known: Any, place: str = "") -> Iterator[str]:
    """Where a document holds what the record made of it has not taken."""
    if document == known:  # the usual case, at the speed of C
        return
    if isinstance(document, dict) and isinstance(known, dict):
        for name, value in document.items():
            inner = f"{place}.{name}" if place else name
            if name not in known:
                yield inner
            else:
                yield from _unknown(value, known[name], inner)
    elif isinstance(document, list) and isinstance(known, list):
        for k, (value, other) in enumerate(zip(document, known, strict=True)):
            yield from _unknown(value, other, f"{place}[{k}]")


def _dotted(place: tuple[int | str, ...]) -> str:
    joined = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return joined.removeprefix(".")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

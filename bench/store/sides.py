"""Files that the gate compares: records of runs, and what pytest-benchmark wrote."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gate.rounds import BenchmarkFile, side_of_rounds
from bench.gate.side import Side, side_of
from bench.store.errors import BadRecord
from bench.store.reading import load, load_object

if TYPE_CHECKING:
    from pydantic import TypeAdapter

CURE = "give a record that bench wrote, or a file of pytest --benchmark-json"


def load_side(path: Path) -> Side:
    """All figures of a file; BadRecord when it is neither a record nor pytest-benchmark's JSON."""
    document = load_object(path)
    if "schema" in document or "benchmarks" not in document:
        return side_of(load(path))
    return side_of_rounds(_benchmarks(path, document))


def _benchmarks(path: Path, document: dict[str, object]) -> BenchmarkFile:
    from pydantic import ValidationError

    try:
        file = _adapter().validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadRecord(str(path), place, f"is wrong: {first['msg']}", CURE) from None
    names = [each.fullname for each in file.benchmarks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadRecord(str(path), "benchmarks", f"holds {twice} twice", CURE)
    return file


@cache
def _adapter() -> TypeAdapter[BenchmarkFile]:
    from pydantic import TypeAdapter

    return TypeAdapter(BenchmarkFile)

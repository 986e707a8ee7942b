"""The header of a safetensors file, checked byte by byte before any library opens the file.

Format: 8 bytes little-endian N, N bytes of JSON, then the tensors' data without gap or overlap
(https://github.com/huggingface/safetensors). Needs no torch.
"""

from __future__ import annotations

import json
import math
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_HEADER = 100_000_000
"""Bytes of JSON, the format's own limit."""

ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
_SHOWN = 80  # characters of a hostile name that an error repeats


class WeightsError(ValueError):
    """Weights that cannot be used, in one line that names the file or the tensor."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as the header tells it; bytes ``begin`` to ``end`` of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read(path: Path) -> dict[str, Entry]:
    """The tensors of a file by name. Raises WeightsError for anything unsound in the header."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unsound(path, "it is not a regular file")
        with path.open("rb") as stream:
            size = path.stat().st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > size - 8:
                raise _unsound(path, f"a header of {length} bytes in a file of {size}")
            if length > MAX_HEADER:
                raise _unsound(path, f"a header of {length} bytes, more than {MAX_HEADER}")
            text = stream.read(length)
    except OSError as error:
        raise _unsound(path, error.strerror or "it cannot be read") from error
    entries = {name: _entry(path, name, told) for name, told in _tensors(path, text)}
    _check_layout(path, entries, size - 8 - length)
    return entries


def shown(name: str) -> str:
    """A name from a file, fit for one line: bounded, and with control characters escaped."""
    cut = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    return cut if cut.isprintable() else ascii(cut)[1:-1]


def strict_json(text: bytes) -> Any:
    """JSON in which no key stands twice; ValueError for anything else, nesting included."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"key {shown(twice)} stands twice")
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _tensors(path: Path, text: bytes) -> Iterator[tuple[str, Any]]:
    if not text.startswith(b"{"):
        raise _unsound(path, "the header does not start with {")
    try:
        table = strict_json(text)
    except ValueError as error:
        raise _unsound(path, f"its header is not JSON: {shown(str(error))}") from error
    table.pop("__metadata__", None)
    yield from table.items()


def _entry(path: Path, name: str, told: Any) -> Entry:
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        raise _unsound(path, f"tensor {shown(name)} needs dtype, shape and data_offsets")
    dtype, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _unsound(path, f"tensor {shown(name)} has the unknown dtype {shown(str(dtype))}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _unsound(path, f"tensor {shown(name)} has a shape or data_offsets of no sizes")
    begin, end = offsets
    if end - begin != ITEM_BYTES[dtype] * math.prod(shape):
        have = f"{end - begin} bytes for {dtype} {shown(str(shape))}"
        raise _unsound(path, f"tensor {shown(name)} has {have}")
    return Entry(dtype, tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= 8
        and all(type(value) is int and 0 <= value < 1 << 63 for value in values)
    )


def _check_layout(path: Path, entries: dict[str, Entry], data_bytes: int) -> None:
    """Tensors must follow one another from byte 0 to the end of the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            what = "overlaps the one before it" if entry.begin < at else "leaves a gap before it"
            raise _unsound(path, f"tensor {shown(name)} {what}")
        at = entry.end
    if at != data_bytes:
        raise _unsound(path, f"its tensors take {at} bytes and the file has {data_bytes}")


def _unsound(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{shown(path.name)}: not a sound safetensors file ({why})")

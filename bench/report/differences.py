"""Where two documents of one run differ: what was recorded against what its journal gives.

Two numbers are the same within 1e-9 of each other, relative; everything else is exactly.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.foreign import clean

TOLERANCE = 1e-9
SHOWN = 20
LONGEST = 120
ABSENT = "absent"
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place of the record; both values are JSON text, or "absent"."""

    path: str
    recorded: str
    recomputed: str


def differences(recorded: Any, recomputed: Any, path: str = "") -> Iterator[Difference]:
    """Every leaf in which two JSON values differ, in the order of the first."""
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for name in {**recorded, **recomputed}:
            inner = f"{path}.{name}" if path else name
            both = recorded.get(name, _ABSENT), recomputed.get(name, _ABSENT)
            yield from differences(*both, inner)
    elif isinstance(recorded, list) and isinstance(recomputed, list):
        pairs = itertools.zip_longest(recorded, recomputed, fillvalue=_ABSENT)
        for k, both in enumerate(pairs):
            yield from differences(*both, f"{path}[{k}]")
    elif not _same(recorded, recomputed):
        yield Difference(path, _shown(recorded), _shown(recomputed))


def lines(found: Sequence[Difference]) -> Iterator[str]:
    """The first of them for a terminal, a line each, and how many more there are."""
    for each in found[:SHOWN]:
        recorded, recomputed = _shortened(each.recorded), _shortened(each.recomputed)
        yield clean(f"  {each.path}: recorded {recorded}, recomputed {recomputed}")
    if len(found) > SHOWN:
        yield f"  and {len(found) - SHOWN} more"


def _same(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b):
        return a == b or math.isclose(a, b, rel_tol=TOLERANCE)
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return ABSENT if value is _ABSENT else json.dumps(value)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"

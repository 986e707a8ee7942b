"""One item of ``bench doctor``: what was looked at, how it stands, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckStatus = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; ``cure`` says exactly what to do unless it is OK."""

    item: str
    status: CheckStatus
    text: str
    cure: str | None = None
    fields: tuple[str, ...] = ()

"""The bound on latency under which cards are put at their best points, as the user writes it."""

from __future__ import annotations

import re

from bench.cli.refusal import USAGE, Refusal

TPOT_S = 0.05
LONGEST_S = 60.0
_TPOT = re.compile(r"tpot=([0-9]+\.?[0-9]*)(ms|s)", re.IGNORECASE)


def tpot_bound_s(text: str) -> float:
    """``TPOT=50ms`` in seconds, above 0 and at most a minute; Refusal for anything else."""
    match = _TPOT.fullmatch(text)
    bound_s = 0.0 if match is None else float(match[1]) / (1e3 if match[2].lower() == "ms" else 1)
    if not 0 < bound_s <= LONGEST_S:
        raise Refusal(USAGE, f"--best-under {text}: write it as TPOT=50ms")
    return bound_s

"""Foreign strings made safe for a terminal. It loads in no time: a refusal goes through here."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """Foreign text made safe for a terminal or log: no control, escape or bidi characters."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} else c for c in text)

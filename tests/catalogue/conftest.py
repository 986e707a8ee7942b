"""The default market with one piece of its text replaced, for tests of what a user brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.catalogue import rooms


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str], Path]:
    """The default market with one piece of its text replaced."""

    def edit(old: str, new: str) -> Path:
        text = (rooms.root() / "markets" / "default.toml").read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} must occur once"
        path = tmp_path / "market.toml"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return edit
